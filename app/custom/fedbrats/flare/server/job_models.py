"""Which models the job `evaluate` holds, for FLARE's CrossSiteModelEval."""

from __future__ import annotations

from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_context import FLContext
from nvflare.app_common.abstract.model_locator import ModelLocator

from fedbrats.errors import ConfigurationError
from fedbrats.flare.job_folder import check_deployed_job, models_folder
from fedbrats.flare.protocol import MODEL_NAME
from fedbrats.jobs.models import model_names


class JobModels(ModelLocator):
    """Names the models in the job.

    A task says a model's name and no weights: sites have them from the signed job, and the server cannot change them.
    """

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """End a job that cannot be as it is configured, when its run starts."""
        if event_type == EventType.START_RUN:
            try:
                check_deployed_job(fl_ctx)
            except ConfigurationError as error:
                self.system_panic(str(error), fl_ctx)

    def get_model_names(self, fl_ctx: FLContext) -> list[str]:
        """The models in the job."""
        return model_names(models_folder(fl_ctx))

    def locate_model(self, model_name: str, fl_ctx: FLContext) -> DXO:
        """What a site needs to know of a model."""
        return DXO(DataKind.WEIGHTS, data={}, meta={MODEL_NAME: model_name})
