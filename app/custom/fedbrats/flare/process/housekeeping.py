"""At the end of every job a participant removes what ended jobs have left, where its own settings say so."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.workspace import Workspace

from fedbrats.errors import ConfigurationError
from fedbrats.flare.process.obstacles import SERVER_FILE
from fedbrats.site.site_file import Retention, read_server_facts, read_site_facts

CLEAN_S = 3600.0


class Housekeeping(FLComponent):
    """Runs `fedbrats clean KIT --yes`, in a process of its own, where local/fedbrats.json has `retention`.

    FLARE tells of the end of a job in the participant's own process alone. One that has not ended for the server by
    then stays until the end of the next.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cleaning = threading.Lock()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Begin to clean; never waits and never raises, for a job's end is not over yet."""
        if event_type != EventType.JOB_COMPLETED:
            return
        root = fl_ctx.get_prop(FLContextKey.WORKSPACE_ROOT)
        if isinstance(workspace := fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT), Workspace):
            root = workspace.get_root_dir()
        if root:
            kit = Path(root)
            threading.Thread(target=self.clean, args=(kit, fl_ctx.get_identity_name()), daemon=True).start()

    def clean(self, kit: Path, name: str) -> None:
        """Clean a kit, unless its settings keep everything or it is being cleaned already."""
        try:
            if read_retention(kit, name) is None:
                return
        except ConfigurationError as error:
            self.logger.error(f"nothing is removed at the end of a job: {error}")
            return
        if not self._cleaning.acquire(blocking=False):
            return
        try:
            words = [sys.executable, "-m", "fedbrats.cli.main", "clean", str(kit), "--yes"]
            done = subprocess.run(words, capture_output=True, text=True, timeout=CLEAN_S, stdin=subprocess.DEVNULL)
            said = (done.stdout if done.returncode == 0 else done.stderr).strip().rpartition("\n")[2]
            self.logger.log(logging.ERROR if done.returncode else logging.INFO, f"cleaned at the end of a job: {said}")
        except (OSError, subprocess.SubprocessError) as error:
            self.logger.error(f"nothing is removed at the end of a job: {error}")
        finally:
            self._cleaning.release()


def read_retention(kit: Path, name: str) -> Retention | None:
    """What the settings of a server's or a site's kit let stay; None for everything. Raises: ConfigurationError."""
    if (kit / "startup" / SERVER_FILE).is_file():
        return read_server_facts(kit / "local").keep
    return read_site_facts(kit / "local", name).keep
