"""A job is whose signature it bears: its papers say nothing else, and it goes on from nobody else's jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.fl_exception import UnsafeComponentError
from nvflare.apis.job_def import JobMetaKey
from nvflare.apis.workspace import Workspace
from nvflare.widgets.widget import Widget

from fedbrats.errors import ConfigurationError
from fedbrats.flare.kit.app_rules import check_app
from fedbrats.flare.kit.signers import PROJECT_ADMIN, Signer
from fedbrats.flare.process.obstacles import SITE_STARTUP
from fedbrats.jobs.resume import check_job_ids
from fedbrats.outside import show
from fedbrats.site.job_record import keep_record, read_record
from fedbrats.site.site_file import read_site_facts

RESUME = "resume"  # the argument of a component that names the jobs it goes on from


class SubmittedBySigner(Widget):
    """Stops a job, in its own process at the server and at every site, before any of it is built, when

    - its application would not be deployed (fedbrats.flare.kit.app_rules), so that one that came to the disk by another
      way does not run either;
    - `meta.json`, which nobody signs, names another submitter than the certificate that signed the application;
    - at a site: it goes on from a job of somebody else, and its signer is no project admin.

    At a site it writes who submitted the job beside what the job keeps there (fedbrats.site.job_record).
    """

    def __init__(self) -> None:
        super().__init__()
        self._signers: dict[str, Signer] = {}  # by job; a process has one

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Judge before a component is built; raises UnsafeComponentError, which ends the job."""
        if event_type != EventType.BEFORE_BUILD_COMPONENT:
            return
        try:
            self._judge(fl_ctx)
        except Exception as error:  # FLARE takes an exception of another kind for a nuisance and goes on
            raise UnsafeComponentError(str(error) or repr(error)) from error

    def _judge(self, fl_ctx: FLContext) -> None:
        workspace: Workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
        job_id = str(fl_ctx.get_prop(FLContextKey.CURRENT_JOB_ID))
        if job_id not in self._signers:
            self._signers[job_id] = _signer_of(workspace, job_id, fl_ctx.get_prop(FLContextKey.JOB_META))
        resume = (fl_ctx.get_prop(FLContextKey.COMPONENT_CONFIG).get("args") or {}).get(RESUME)
        if resume:
            for earlier in check_job_ids(resume):
                _check_resume(workspace, earlier, self._signers[job_id])


def _signer_of(workspace: Workspace, job_id: str, meta: dict[str, Any]) -> Signer:
    """Who signed the application, which a site writes down. Raises: FedbratsError where the papers say otherwise."""
    signer = check_app(Path(workspace.get_app_dir(job_id)))
    keys = (JobMetaKey.SUBMITTER_NAME, JobMetaKey.SUBMITTER_ORG, JobMetaKey.SUBMITTER_ROLE)
    said = Signer(*(str(meta.get(key.value, "")) for key in keys))
    if said != signer:
        raise ConfigurationError(
            f"{signer.name} ({signer.organisation}, {signer.role}) signed the job, but its meta.json says that "
            f"{show(said.name)} ({show(said.organisation)}, {show(said.role)}) submitted it"
        )
    if (folder := kept_of(workspace, job_id)) is not None:
        keep_record(folder, signer.name)
    return signer


def _check_resume(workspace: Workspace, earlier: str, signer: Signer) -> None:
    """Refuse to go on from somebody else's job; what an older version left says no name, and is a project admin's."""
    folder = kept_of(workspace, earlier)
    if folder is None or not folder.exists() or signer.role == PROJECT_ADMIN:
        return
    record = read_record(folder)
    if record is None or record.submitter != signer.name:
        whose = f"was submitted by {record.submitter}" if record else "does not say here whose it was"
        raise ConfigurationError(f"job {earlier} {whose}: only its submitter or a project admin goes on from it")


def kept_of(workspace: Workspace, job_id: str) -> Path | None:
    """Where a site keeps what belongs to a job; None at the server, which has its own rule (fedbrats.flare.server)."""
    if not Path(workspace.get_startup_kit_dir(), SITE_STARTUP).is_file():
        return None
    facts = read_site_facts(Path(workspace.get_site_config_dir()), workspace.site_name)
    return facts.personal_dir / job_id / workspace.site_name
