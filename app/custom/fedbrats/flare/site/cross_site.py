"""Cross-site evaluation: every model of a job, and every personal model that a site shares, scored at every site."""

from __future__ import annotations

import re

from nvflare.apis.dxo import DXO, DataKind, from_shareable
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.app_constant import AppConstants

from fedbrats.errors import DataError
from fedbrats.federation.sharing import merge, split_names
from fedbrats.flare.job_folder import models_folder
from fedbrats.flare.protocol import MODEL_NAME
from fedbrats.flare.site.executor import SegmentationExecutor
from fedbrats.jobs.models import JobModel, model_names, read_job_model
from fedbrats.rows import FINAL_ROUND, case_rows
from fedbrats.site.local_site import LocalSite
from fedbrats.site.personal import load_personal
from fedbrats.site_report import EvaluationReport


class CrossSiteExecutor(SegmentationExecutor):
    """Answers the tasks `validate` and `submit_model`, and trains nothing.

    A model with a personal part is evaluated with the one that this site keeps from the model's job, which stays here.
    Only where the hospital's `share_personal_models` says so does the site submit it, for the other sites to evaluate.

    Args: as of SegmentationExecutor.
    """

    def __init__(
        self, network: str = "fast", seed: int = 0, training: dict | None = None, preparation: dict | None = None
    ):
        super().__init__(network, seed, training=training, preparation=preparation)
        self._tasks = {
            AppConstants.TASK_VALIDATION: self._evaluate,
            AppConstants.TASK_SUBMIT_MODEL: self._submit_personal,
        }

    def _evaluate(self, site: LocalSite, shareable: Shareable, fl_ctx: FLContext, _abort: Signal) -> Shareable:
        """The metrics of one model here; personal weights in the task are another site's, to be tried."""
        task = from_shareable(shareable)
        model = read_job_model(models_folder(fl_ctx), str(task.get_meta_prop(MODEL_NAME)))
        shared, personal = self._split(site, model)
        own = task.data or (self._personal_part(site, model) if personal else {})
        site.trainer.set_weights(merge({name: model.weights[name] for name in shared}, own, model.weights))
        scores = site.evaluate_finally()
        self._record_cases(fl_ctx, case_rows(FINAL_ROUND, str(shareable.get_header(AppConstants.MODEL_OWNER)), scores))
        report = EvaluationReport(
            validation_cases=len(scores),
            metrics=site.metrics(scores),
            own_personal=bool(personal and not task.data),
        )
        return DXO(DataKind.METRICS, data=report.model_dump()).to_shareable()

    def _submit_personal(self, site: LocalSite, shareable: Shareable, fl_ctx: FLContext, _abort: Signal) -> Shareable:
        """The personal part of each model that has one, or nothing where this hospital keeps it."""
        parts = {}
        if site.facts.share_personal_models:
            folder = models_folder(fl_ctx)
            models = {name: read_job_model(folder, name) for name in model_names(folder)}
            parts = {
                name: DXO(DataKind.WEIGHTS, data=self._personal_part(site, model), meta={MODEL_NAME: name})
                for name, model in models.items()
                if self._split(site, model)[1]
            }
        return DXO(DataKind.COLLECTION, data=parts).to_shareable()

    @staticmethod
    def _split(site: LocalSite, model: JobModel) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The shared and the personal names of a model."""
        prefixes = site.trainer.network.personal_names(model.personal)
        return split_names(model.weights, prefixes, allow_nothing_shared=True)

    @staticmethod
    def _personal_part(site: LocalSite, model: JobModel) -> dict:
        """What this site keeps of a model's job. Raises: DataError where it took no part in that job."""
        known = re.fullmatch(r"[A-Za-z0-9-]+", model.job_id)  # a name from a job becomes a folder's name here
        mine = load_personal(site.facts.personal_dir / model.job_id / site.name) if known else None
        if mine is None:
            raise DataError(
                f"site {site.name} keeps no personal weights of job {model.job_id or 'unknown'}, without which its "
                f"model cannot be evaluated here; fit it to this site first (`fedbrats personalise`)"
            )
        return mine
