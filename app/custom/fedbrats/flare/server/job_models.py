"""Which models the job `evaluate` holds, for FLARE's CrossSiteModelEval."""

from __future__ import annotations

from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.fl_context import FLContext
from nvflare.app_common.abstract.model_locator import ModelLocator

from fedbrats.flare.job_folder import models_folder
from fedbrats.flare.protocol import MODEL_NAME
from fedbrats.jobs.models import model_names


class JobModels(ModelLocator):
    """Names the models in the job.

    A task says a model's name and no weights: sites have them from the signed job, and the server cannot change them.
    """

    def get_model_names(self, fl_ctx: FLContext) -> list[str]:
        """The models in the job."""
        return model_names(models_folder(fl_ctx))

    def locate_model(self, model_name: str, fl_ctx: FLContext) -> DXO:
        """What a site needs to know of a model."""
        return DXO(DataKind.WEIGHTS, data={}, meta={MODEL_NAME: model_name})
