"""Where a participant has the files of the running job."""

from __future__ import annotations

from pathlib import Path

from nvflare.apis.fl_context import FLContext

from fedbrats.jobs.models import MODELS_FOLDER


def models_folder(fl_ctx: FLContext) -> Path:
    """The models inside the running job."""
    app = fl_ctx.get_engine().get_workspace().get_app_dir(fl_ctx.get_job_id())
    return Path(app) / MODELS_FOLDER
