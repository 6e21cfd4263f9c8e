"""FLARE's job launchers that have a job process forked by the warm process, and start one as FLARE does where they
cannot.

Only the kits of a POC name them. A kit for a hospital keeps FLARE's launcher: with one job process a machine nothing is
shared, and a process that waits with everything imported would hold 250 MB for the whole study.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import FLContextKey, JobConstants
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_launcher_spec import JobHandleSpec, JobReturnCode
from nvflare.apis.workspace import Workspace
from nvflare.app_common.job_launcher.client_process_launcher import ClientProcessJobLauncher
from nvflare.app_common.job_launcher.process_launcher import JOB_RETURN_CODE_MAPPING, ProcessJobLauncher
from nvflare.app_common.job_launcher.server_process_launcher import ServerProcessJobLauncher
from nvflare.utils.job_launcher_utils import get_credential_env

from fedbrats.atomic import write_json_atomic
from fedbrats.flare.launch.address import MOST_BYTES, Ended, Request, Started, connect
from fedbrats.flare.process.obstacles import SITE_STARTUP
from fedbrats.site.site_file import SITE_FILE

PATIENCE_S = 60.0  # for the warm process, which may be importing still
CUDA_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))  # of NVIDIA's driver, and of Windows' Linux


class ForkLauncher(ProcessJobLauncher):
    """Has a job process forked where that is safe; see `why_not_forked`."""

    def launch_job(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> JobHandleSpec:
        """Start a job's process; returns FLARE's handle of it."""
        workspace: Workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
        kit = Path(workspace.get_root_dir())
        why = why_not_forked(kit)
        connection = None if why else connect(kit.parent)
        if connection:
            handle = ask(connection, self._request(job_meta, fl_ctx, workspace))
            if handle:
                self.logger.info(f"job process forked pid={handle.pid}")
                return handle
        self.logger.info(f"job process started anew because {why or 'no warm process answers'}")
        return super().launch_job(job_meta, fl_ctx)

    def _request(self, job_meta: dict[str, Any], fl_ctx: FLContext, workspace: Workspace) -> Request:
        credentials = get_credential_env(fl_ctx.get_prop(FLContextKey.JOB_PROCESS_ARGS) or {})
        custom = workspace.get_app_custom_dir(job_meta.get(JobConstants.JOB_ID))
        return Request(
            command=shlex.split(self.get_command(job_meta, fl_ctx)),
            environment={**os.environ, **credentials},
            search_path=[folder for folder in (*sys.path, custom) if folder],
            folder=os.getcwd(),
            parent=os.getpid(),
        )


class ClientForkLauncher(ForkLauncher, ClientProcessJobLauncher):
    """The launcher of a site."""


class ServerForkLauncher(ForkLauncher, ServerProcessJobLauncher):
    """The launcher of the server."""


FORKING = {
    f"{stock.__module__}.{stock.__name__}": f"{own.__module__}.{own.__name__}"
    for stock, own in ((ClientProcessJobLauncher, ClientForkLauncher), (ServerProcessJobLauncher, ServerForkLauncher))
}


def let_fork(resources: Path) -> None:
    """Exchange FLARE's process launcher in a kit's resources for ours; a kit with another launcher keeps it."""
    document = json.loads(resources.read_text(encoding="utf-8"))
    for component in document["components"]:
        component["path"] = FORKING.get(component["path"], component["path"])
    write_json_atomic(resources, document)


def why_not_forked(kit: Path) -> str | None:
    """Why a participant's jobs must begin in a process of their own, in words; None where they may be forked."""
    if sys.platform != "linux":
        return "only Linux tells who is at the other end of a socket"
    custom = kit / "local" / "custom"
    if custom.is_dir() and any(custom.iterdir()):
        return "the kit has code of its own, which must be imported before anything else"
    if computes_on_gpu(_device(kit)):
        return "a process that was forked cannot use a GPU that its parent may have looked at"
    return None


def computes_on_gpu(device: str) -> bool:
    """Whether a site with this `device` in its site file may use a GPU; found without asking the GPU's driver."""
    return device.startswith("cuda") or (device == "auto" and any(path.exists() for path in CUDA_DEVICES))


def _device(kit: Path) -> str:
    try:
        document = json.loads((kit / "local" / SITE_FILE).read_text(encoding="utf-8"))
        return str(document["device"])
    except (OSError, ValueError, KeyError, TypeError):
        return "auto" if (kit / "startup" / SITE_STARTUP).exists() else "cpu"  # a server computes on its CPU


class ForkHandle(JobHandleSpec):
    """A forked job process, as FLARE watches and ends it."""

    def __init__(self, connection: socket.socket, pid: int):
        super().__init__()
        self.pid = pid
        self._connection = connection
        self._lock = threading.Lock()
        self._status: int | None = None
        try:
            self._process = os.pidfd_open(pid)  # of this process, even when its number is used again
        except ProcessLookupError:
            self._process = -1

    def terminate(self) -> None:
        """Kill the process and those that it started, as FLARE's launcher does."""
        with self._lock:
            if self._process >= 0 and not _has_ended(self._process):
                os.killpg(self.pid, signal.SIGKILL)

    def poll(self) -> int:
        """FLARE's return code; UNKNOWN while the process runs."""
        with self._lock:
            if self._status is None:
                self._status = self._read_status()
            if self._status is None:
                return JobReturnCode.UNKNOWN
            if self._process >= 0:
                os.close(self._process)
                self._process = -1
        return JOB_RETURN_CODE_MAPPING.get(self._status, JobReturnCode.EXECUTION_ERROR)

    def wait(self) -> None:
        """Return when the process has ended."""
        while self.poll() == JobReturnCode.UNKNOWN:
            select.select([self._connection], [], [], 1.0)

    def _read_status(self) -> int | None:
        """The exit status; None while there is none. Where the warm process has ended, the job's end is an error."""
        if select.select([self._connection], [], [], 0)[0]:
            answer = self._connection.recv(MOST_BYTES)
            if answer:
                return Ended.model_validate_json(answer).status
            if self._process < 0 or _has_ended(self._process):
                return int(JobReturnCode.EXECUTION_ERROR)
            select.select([self._process], [], [], 1.0)  # nobody will say it: wait for the process itself
        return None


def ask(connection: socket.socket, request: Request) -> ForkHandle | None:
    """Have a process forked; None where the warm process cannot."""
    connection.settimeout(PATIENCE_S)
    try:
        socket.send_fds(connection, [request.model_dump_json().encode()], [0, 1, 2])
        answer = connection.recv(MOST_BYTES)
    except OSError:
        answer = b""
    if answer:
        return ForkHandle(connection, Started.model_validate_json(answer).pid)
    connection.close()  # it looks for this before it forks
    return None


def _has_ended(process: int) -> bool:
    return bool(select.select([process], [], [], 0)[0])
