"""The executor of a site: takes the global model, trains a local round on its cases, answers with a difference."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.apis.analytix import AnalyticsDataType
from nvflare.apis.dxo import DXO, DataKind, MetaKey, from_shareable
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal
from nvflare.apis.utils.analytix_utils import create_analytic_dxo, send_analytic_dxo
from nvflare.app_common.app_constant import AppConstants

import fedbrats
from fedbrats.atomic import append_lines
from fedbrats.data.prepare.cache import CacheSettings
from fedbrats.data.prepare.site_cases import SiteCases
from fedbrats.errors import DataError, FedbratsError, UpdateError
from fedbrats.federation.leave_one_out import leave_out, own_weight
from fedbrats.federation.sharing import (
    keep_personal,
    merge,
    personal_at_last,
    personal_in_round,
    split_names,
)
from fedbrats.federation.updates import difference
from fedbrats.flare import garbage
from fedbrats.flare.protocol import (
    CURVES_EVENT,
    FEDCE_WEIGHTS,
    REPORT_KEY,
    STAGES,
    TRAVELLED,
    VALIDATION_DICE,
)
from fedbrats.jobs.resume import check_job_ids
from fedbrats.rows import (
    CASES_FILE,
    FINAL_ROUND,
    ROWS_FOLDER,
    case_rows,
)
from fedbrats.shipped import PACKAGE_DIR
from fedbrats.site.local_site import LocalSite, open_local_site, prepare_site
from fedbrats.site.personal import load_personal, load_weights, save_personal
from fedbrats.site.site_file import SiteFacts
from fedbrats.site.state import (
    OPTIMISER_FILE,
    TRAINED_FILE,
    find_round,
    save_round,
)
from fedbrats.site_report import FRESH, KEPT, STORED, EvaluationReport, SiteReport


class SegmentationExecutor(Executor):
    """Answers the tasks `train` and `validate`.

    A training answer is a WEIGHT_DIFF whose meta carries, under `fedbrats`, the number of cases and steps, the
    seconds, and the metrics of the received and of the trained model, and what the round began with (`begins`: `kept`
    in memory, `stored` on disk, `fresh` where this site has nothing of an earlier round). Personal names are in it too:
    the site's KeepShared filter removes them.

    Args:
        network, seed: the preset of the network and the seed of its first weights, as the server builds it.
        personal: which names stay at this site: `none`, `head`, `decoder`, `norm`, `all`, or prefixes ending at a dot.
        personal_rounds: in so many last rounds all names stay, and each site fits the model to its own cases.
        training: the settings of `fedbrats.model.settings.TrainingSettings`.
        preparation: the settings of `fedbrats.data.prepare.cache.CacheSettings`.
        validate_received, validate_trained: whether to evaluate the model before and after local training.
        measure_minus_model: for FedCE: also evaluate the received model without this site's share of it.
        resume: ids of the jobs that this one goes on from, newest first: what they left at this site is taken up.
    """

    def __init__(
        self,
        network: str = "fast",
        seed: int = 0,
        personal: str = "none",
        personal_rounds: int = 0,
        training: dict[str, Any] | None = None,
        preparation: dict[str, Any] | None = None,
        validate_received: bool = True,
        validate_trained: bool = True,
        measure_minus_model: bool = False,
        resume: list[str] | None = None,
        train_task: str = AppConstants.TASK_TRAIN,
        validate_task: str = AppConstants.TASK_VALIDATION,
    ):
        super().__init__()
        self._network = {"preset": network, "seed": seed}
        self._seed = seed
        self._personal = personal
        self._personal_rounds = personal_rounds
        self._training = training or {}
        self._preparation = preparation or {}
        self._validate_received = validate_received
        self._validate_trained = validate_trained
        self._measure_minus_model = measure_minus_model
        self._resume = check_job_ids(resume)
        self._last_trained: dict[str, np.ndarray] | None = None
        self._last_round: int | None = None  # the round whose optimiser and personal weights are in memory
        self._mine: dict[str, np.ndarray] | None = None  # the personal weights; None before this site has any
        self._tasks = {train_task: self._train, validate_task: self._validate}
        self._site: LocalSite | None = None

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        """Do one task; what the site can mend is logged as one sentence and answered as an execution error."""
        task = self._tasks.get(task_name)
        if task is None:
            return make_reply(ReturnCode.TASK_UNKNOWN)
        try:
            site = self._site or self._open(fl_ctx)
            site.refuse_too_many_bad()
            return task(site, shareable, fl_ctx, abort_signal)
        except FedbratsError as error:
            self.log_error(fl_ctx, str(error))
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            self.log_error(
                fl_ctx,
                f"site {fl_ctx.get_identity_name()} cannot use its disk: {error.strerror or error}{where}; "
                f"nothing is answered until it can",
            )
        return make_reply(ReturnCode.EXECUTION_EXCEPTION)

    def _open(self, fl_ctx: FLContext) -> LocalSite:
        workspace = fl_ctx.get_engine().get_workspace()
        name = fl_ctx.get_identity_name()
        site = open_local_site(
            name,
            Path(workspace.get_site_config_dir()),
            network=self._network,
            training=self._training,
            preparation=self._preparation,
            seed=self._seed,
            prepare=self._prepare,
        )
        self._leave_out_bad_cases(site, None, fl_ctx)
        self.log_info(fl_ctx, f"this job runs fedbrats {fedbrats.__version__} of {PACKAGE_DIR}")
        self._site = site
        garbage.set_aside()
        return site

    def _prepare(self, site: str, facts: SiteFacts, preparation: CacheSettings) -> SiteCases:
        return prepare_site(site, facts, preparation)

    def _train(self, site: LocalSite, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        round_number = int(shareable.get_header(AppConstants.CURRENT_ROUND))
        total_rounds = int(shareable.get_header(AppConstants.NUM_ROUNDS))
        task = from_shareable(shareable)
        begins = self._take_up(site, round_number, fl_ctx)
        self._last_round = None  # until this round is kept: what fails or is aborted begins anew from the disk
        personal = site.trainer.network.personal_names(
            personal_in_round(self._personal, self._personal_rounds, round_number, total_rounds)
        )
        start = self._own_model(task.data, personal)
        minus_score = self._minus_score(site, start, task) if self._measure_minus_model else None
        site.trainer.set_weights(start)
        received = site.evaluate() if self._validate_received else None
        try:
            outcome = site.trainer.train_round(
                round_number, total_rounds, should_stop=lambda: bool(abort_signal.triggered)
            )
        except DataError:  # no case is left: first say of each why
            self._leave_out_bad_cases(site, round_number, fl_ctx)
            raise
        if abort_signal.triggered:
            return make_reply(ReturnCode.TASK_ABORTED)
        end = site.trainer.get_weights()
        trained = site.evaluate() if self._validate_trained else None
        self._leave_out_bad_cases(site, round_number, fl_ctx)
        self._last_trained = end if self._measure_minus_model else None
        self._keep(site, round_number, end, personal, fl_ctx)
        self._record_cases(fl_ctx, case_rows(round_number, "received", received))
        self._record_cases(fl_ctx, case_rows(round_number, "trained", trained))
        report = site.report(outcome, received, trained).completed(
            minus_score=minus_score,
            begins=begins,
            fitted=round_number > total_rounds - self._personal_rounds,
            bytes_down=task.get_meta_prop(TRAVELLED),
        )
        self._stream(fl_ctx, round_number, report)
        meta = {MetaKey.NUM_STEPS_CURRENT_ROUND: outcome.steps, REPORT_KEY: report.model_dump()}
        if report.received_dice is not None:  # the server chooses its best model by it
            meta[MetaKey.INITIAL_METRICS] = {VALIDATION_DICE: report.received_dice}
        update = difference(end, start)
        garbage.collect()
        answer = DXO(DataKind.WEIGHT_DIFF, data=update, meta=meta).to_shareable()
        answer.set_header(AppConstants.CURRENT_ROUND, round_number)  # FLARE's filters do not see the task
        answer.set_header(AppConstants.NUM_ROUNDS, total_rounds)
        return answer

    def _validate(self, site: LocalSite, shareable: Shareable, fl_ctx: FLContext, _abort: Signal) -> Shareable:
        """Evaluate a model of the server's, with this site's personal weights in it, on the site's validation cases."""
        personal = site.trainer.network.personal_names(personal_at_last(self._personal, self._personal_rounds))
        if self._last_round is None and personal:  # a job that goes on after its last round
            stored = (load_personal(folder) for folder in self._personal_dirs(site, fl_ctx))
            self._mine = next((weights for weights in stored if weights is not None), None)
        site.trainer.set_weights(self._own_model(from_shareable(shareable).data, personal))
        scores = site.evaluate_finally()
        self._leave_out_bad_cases(site, FINAL_ROUND, fl_ctx)
        stage = STAGES.get(shareable.get_header(AppConstants.MODEL_OWNER), "other")
        self._record_cases(fl_ctx, case_rows(FINAL_ROUND, stage, scores))
        report = EvaluationReport(validation_cases=len(scores), metrics=site.metrics(scores))
        return DXO(DataKind.METRICS, data=report.model_dump()).to_shareable()

    def _minus_score(self, site: LocalSite, received: dict[str, np.ndarray], task: DXO) -> float | None:
        """1 - Dice of the received model without this site's share; None where there is no share yet to leave out."""
        weight = own_weight(task.get_meta_prop(FEDCE_WEIGHTS), site.name)
        if weight is None or self._last_trained is None:
            return None
        site.trainer.set_weights(leave_out(received, self._last_trained, weight))
        metrics = site.metrics(site.evaluate())
        return None if metrics is None else 1.0 - metrics["dice"]["mean"]

    def _own_model(self, received: Mapping[str, np.ndarray], patterns: Sequence[str]) -> dict[str, np.ndarray]:
        """The received shared weights with the site's personal ones; what has only now become personal begins as
        received."""
        shared, personal = split_names(received, patterns, allow_nothing_shared=True)
        known = {**received, **(self._mine or {})}
        return merge({name: received[name] for name in shared}, {name: known[name] for name in personal}, received)

    def _take_up(self, site: LocalSite, round_number: int, fl_ctx: FLContext) -> str:
        """Have in memory what the round before this one left; returns where it came from."""
        if self._last_round is not None and self._last_round < round_number:
            return KEPT
        folders = self._personal_dirs(site, fl_ctx)
        load_personal(folders[0])  # weights that cannot be read are said, and never written over
        kept = find_round(folders, round_number)
        if kept is None:
            self._mine = self._last_trained = None
            site.trainer.forget_state()
            if round_number > 0:
                self.log_warning(fl_ctx, f"nothing of an earlier round is here: round {round_number} begins anew")
            return FRESH
        self._mine, self._last_trained = load_personal(kept), load_weights(kept / TRAINED_FILE)
        try:
            site.trainer.load_state(kept / OPTIMISER_FILE)
        except UpdateError as error:
            self.log_error(fl_ctx, f"{error}; round {round_number} begins with a new optimiser")
            site.trainer.forget_state()
            return FRESH
        return STORED

    def _keep(
        self,
        site: LocalSite,
        round_number: int,
        end: Mapping[str, np.ndarray],
        personal: Sequence[str],
        fl_ctx: FLContext,
    ) -> None:
        """Keep what this round left, in memory and on the disk."""
        folder = self._personal_dirs(site, fl_ctx)[0]
        mine = keep_personal(end, personal) or None
        if mine:
            save_personal(folder, mine)
        save_round(folder, round_number, site.trainer, personal=mine, trained=self._last_trained)
        self._mine, self._last_round = mine, round_number

    def _personal_dirs(self, site: LocalSite, fl_ctx: FLContext) -> list[Path]:
        """Where this job keeps what belongs to this site, and where those did that it goes on from."""
        return [site.facts.personal_dir / job_id / site.name for job_id in (fl_ctx.get_job_id(), *self._resume)]

    def _leave_out_bad_cases(self, site: LocalSite, round_number: int | None, fl_ctx: FLContext) -> None:
        """A row of the site's own file for each case that is left out from now on; their names stay out of the log.

        Raises: DataError where the site has too many of them.
        """
        fresh = site.newly_rejected()
        rows = [{"round": round_number, "rejected": case.name, "reason": case.reason} for case in fresh]
        self._record_cases(fl_ctx, rows)
        if fresh:
            self.log_warning(fl_ctx, f"{len(fresh)} cases are left out; {CASES_FILE} and `fedbrats check` say why")
        site.refuse_too_many_bad()

    def _record_cases(self, fl_ctx: FLContext, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows about single cases to a file in the site's own run folder; they never leave the site."""
        run_dir = Path(fl_ctx.get_engine().get_workspace().get_run_dir(fl_ctx.get_job_id()))
        append_lines(run_dir / ROWS_FOLDER / CASES_FILE, map(json.dumps, rows))

    def _stream(self, fl_ctx: FLContext, round_number: int, report: SiteReport) -> None:
        """Send the round's scalars to the tracking receivers of the server (TensorBoard, MLflow)."""
        scalars = {"seconds": (report.seconds or {})["training"]}
        if report.loss is not None:
            scalars["loss"] = report.loss
        for stage, metrics in (("received", report.received), ("trained", report.trained)):
            for region, dice in (metrics or {"dice": {}})["dice"].items():
                scalars[f"dice_{stage}_{region}"] = dice
        for tag, value in scalars.items():
            dxo = create_analytic_dxo(tag, float(value), AnalyticsDataType.SCALAR, global_step=round_number)
            send_analytic_dxo(self, dxo, fl_ctx, event_type=CURVES_EVENT)
