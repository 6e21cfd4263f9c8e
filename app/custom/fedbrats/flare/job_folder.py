"""What a participant has in its files, of the running job and of its own."""

from __future__ import annotations

from pathlib import Path

from nvflare.apis.fl_context import FLContext

from fedbrats.jobs.build import check_deployed
from fedbrats.jobs.models import MODELS_FOLDER


def local_folder(fl_ctx: FLContext) -> Path:
    """The folder of the participant's own settings, which no job writes."""
    return Path(fl_ctx.get_engine().get_workspace().get_site_config_dir())


def models_folder(fl_ctx: FLContext) -> Path:
    """The models inside the running job."""
    app = fl_ctx.get_engine().get_workspace().get_app_dir(fl_ctx.get_job_id())
    return Path(app) / MODELS_FOLDER


def check_deployed_job(fl_ctx: FLContext) -> None:
    """Refuse a job whose configuration here has a number out of bounds, whatever its submitter checked.

    Raises: ConfigurationError in one sentence that names the variable.
    """
    check_deployed(Path(fl_ctx.get_engine().get_workspace().get_app_config_dir(fl_ctx.get_job_id())))
