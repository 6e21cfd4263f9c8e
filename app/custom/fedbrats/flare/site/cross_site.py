"""Cross-site evaluation: every model of a job, and every personal model that a site shares, scored at every site."""

from __future__ import annotations

from typing import Any

from nvflare.apis.dxo import DXO, DataKind, from_shareable
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.app_constant import AppConstants

from fedbrats.flare.job_folder import models_folder
from fedbrats.flare.protocol import MODEL_NAME
from fedbrats.flare.site.site_executor import SiteExecutor
from fedbrats.jobs.models import model_names, read_job_model
from fedbrats.outside import show
from fedbrats.site.foreign_models import evaluate_foreign_model, personal_names, personal_part
from fedbrats.site.local_site import LocalSite


class CrossSiteExecutor(SiteExecutor):
    """Answers the tasks `validate` and `submit_model`, and trains nothing.

    A model with a personal part is evaluated with the one that this site keeps from the model's job, which stays here.
    Only where the hospital's `share_personal_models` says so does the site submit it, for the other sites to evaluate.

    Args: as of SiteExecutor.
    """

    def __init__(
        self,
        network: str | dict[str, Any] = "fast",
        seed: int = 0,
        training: dict[str, Any] | None = None,
        preparation: dict[str, Any] | None = None,
    ):
        super().__init__(network, seed, training, preparation)
        self._tasks = {
            AppConstants.TASK_VALIDATION: self._evaluate,
            AppConstants.TASK_SUBMIT_MODEL: self._submit_personal,
        }

    def _evaluate(self, site: LocalSite, shareable: Shareable, fl_ctx: FLContext, _abort: Signal) -> Shareable:
        """The metrics of one model here; personal weights in the task are another site's, to be tried."""
        task = from_shareable(shareable)
        model = read_job_model(models_folder(fl_ctx), str(task.get_meta_prop(MODEL_NAME)))
        stage = show(shareable.get_header(AppConstants.MODEL_OWNER))
        report = evaluate_foreign_model(site, model.weights, model.personal, model.job_id, task.data, stage)
        return DXO(DataKind.METRICS, data=report.model_dump()).to_shareable()

    def _submit_personal(self, site: LocalSite, shareable: Shareable, fl_ctx: FLContext, _abort: Signal) -> Shareable:
        """The personal part of each model that has one, or nothing where this hospital keeps it."""
        parts = {}
        if site.facts.share_personal_models:
            folder = models_folder(fl_ctx)
            models = {name: read_job_model(folder, name) for name in model_names(folder)}
            parts = {
                name: DXO(DataKind.WEIGHTS, data=personal_part(site, model.job_id), meta={MODEL_NAME: name})
                for name, model in models.items()
                if personal_names(site, model.weights, model.personal)
            }
        return DXO(DataKind.COLLECTION, data=parts).to_shareable()
