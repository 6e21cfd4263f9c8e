"""What a job has left at a site is deleted by no message, and a job that has ended does not run again under its id.

FLARE 2.9.0 deletes a job's folder at a site whenever a job of that id arrives, before it asks who signed it: the
server's operator could so remove a hospital's own scores of single cases, and run a signed job as often as he likes.
"""

from __future__ import annotations

import hashlib
import io
import logging
import time
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.workspace import Workspace
from nvflare.private.defs import ERROR_MSG_PREFIX
from nvflare.private.fed.client.client_engine import ClientEngine
from nvflare.private.fed.client.client_runner import ClientRunner

from fedbrats.errors import ConfigurationError, FedbratsError
from fedbrats.flare.archives import JudgedZip
from fedbrats.flare.kit.submitter import kept_of
from fedbrats.site.job_record import mark_ended, read_record

logger = logging.getLogger(__name__)


def deploy_once() -> None:
    """Have this process of a site, its own or one of a job, judge a job by its id; at the server nothing changes."""
    if getattr(ClientEngine.deploy_app, "once", False):
        return
    deploy, start, abort = ClientEngine.deploy_app, ClientEngine.start_app, ClientEngine.abort_app
    end = ClientRunner._handle_end_run

    def deploy_app(
        self: Any, app_name: str, job_id: str, job_meta: dict[str, Any], client_name: str, app_data: bytes
    ) -> Any:
        workspace = Workspace(self.args.workspace, site_name=client_name)
        if why := fault_of_deployment(workspace, job_id, app_data):
            return _refuse(why)
        if is_deployed(workspace, job_id):
            return ""
        return deploy(self, app_name, job_id, job_meta, client_name, app_data)

    def start_app(self: Any, job_id: str, *args: Any, **kwargs: Any) -> Any:
        if why := fault_of_id(Workspace(self.args.workspace, site_name=self.get_client_name()), job_id):
            return _refuse(why)
        return start(self, job_id, *args, **kwargs)

    def abort_app(self: Any, job_id: str, heartbeat_cleanup: bool = False) -> Any:
        if not heartbeat_cleanup:  # the server asks for it, where it ends the job
            note_end(Workspace(self.args.workspace, site_name=self.get_client_name()), job_id)
        return abort(self, job_id, heartbeat_cleanup=heartbeat_cleanup)

    def handle_end_run(self: Any, topic: str, request: Shareable, fl_ctx: FLContext) -> Any:
        note_end(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT), str(fl_ctx.get_job_id()))
        return end(self, topic, request, fl_ctx)

    deploy_app.once = True  # type: ignore[attr-defined]
    ClientEngine.deploy_app, ClientEngine.start_app, ClientEngine.abort_app = deploy_app, start_app, abort_app
    ClientRunner._handle_end_run = handle_end_run


def fault_of_id(workspace: Workspace, job_id: str) -> str | None:
    """Why no job of this id runs here; None where one may."""
    try:
        folder = kept_of(workspace, job_id)
        record = folder and read_record(folder)
    except ConfigurationError:  # of the site's file: the job's own process says so to whom it concerns
        return None
    except FedbratsError as error:
        return str(error)
    if record and record.ended is not None:
        day = time.strftime("%d %B %Y", time.gmtime(record.ended))
        return f"job {job_id} ended here on {day} and does not run again: submit it anew, for another id"
    return None


def fault_of_deployment(workspace: Workspace, job_id: str, app_data: bytes) -> str | None:
    """Why an application is not deployed under this id; None where it may be, or is here already."""
    if why := fault_of_id(workspace, job_id):
        return why
    if is_deployed(workspace, job_id) and content_of(app_data) != content_in(Path(workspace.get_app_dir(job_id))):
        return f"job {job_id} is here already, with another application"
    return None


def is_deployed(workspace: Workspace, job_id: str) -> bool:
    """Whether an application of this id was deployed whole: FLARE writes the job's papers last."""
    return Path(workspace.get_job_meta_path(job_id)).is_file()


def content_of(app_data: bytes) -> dict[str, str]:
    """The SHA-256 of each file of an application as it travels. Raises: ValueError for an archive that is refused."""
    with JudgedZip(io.BytesIO(app_data)) as archive:
        return {file.filename: _digest(archive.open(file)) for file in archive.infolist() if not file.is_dir()}


def content_in(app: Path) -> dict[str, str]:
    """The same of an application on the disk."""
    files = (path for path in app.rglob("*") if path.is_file())
    return {path.relative_to(app).as_posix(): _digest(path.open("rb")) for path in files}


def note_end(workspace: Workspace, job_id: str) -> None:
    """Remember that a job has ended; never raises, as what ends a job must not depend on it."""
    try:
        if (folder := kept_of(workspace, job_id)) is not None:
            mark_ended(folder)
    except Exception as error:
        logger.error(f"that a job has ended could not be noted: {error!r:.200}; job={job_id}")


def _digest(stream: Any) -> str:
    with stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _refuse(why: str) -> str:
    logger.warning(f"a job is refused: {why}")
    return f"{ERROR_MSG_PREFIX}: {why}"
