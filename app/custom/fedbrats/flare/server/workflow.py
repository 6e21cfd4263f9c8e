"""The server's workflow of a job that trains: rounds with a quorum, a state that survives the server, and rollback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.app_common.abstract.model import ModelLearnableKey, make_model_learnable
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType

from fedbrats.errors import FedbratsError
from fedbrats.federation.answer_times import AnswerTimes
from fedbrats.federation.rollback import Verdict
from fedbrats.flare.job_folder import check_deployed_job, local_folder
from fedbrats.flare.server.answers import limit_answers
from fedbrats.flare.server.final_model import FinalModelRounds
from fedbrats.flare.server.gated_aggregator import TOTAL_ROUNDS, GatedAggregator
from fedbrats.flare.server.quorum.sites import named_sites
from fedbrats.flare.server.row_events import fire_rows
from fedbrats.flare.server.rows_file import rows_path
from fedbrats.flare.server.start import read_first_model
from fedbrats.flare.server.state.models import ModelHistory, restore_best
from fedbrats.flare.server.state.optimiser import read_optimiser, set_network, set_optimiser
from fedbrats.flare.server.state.resume import Submitter, check_same_network, find_state
from fedbrats.flare.server.state.stored import Model, ServerState, save_state
from fedbrats.jobs.resume import check_job_ids
from fedbrats.jobs.settings import check_values
from fedbrats.jobs.start import NONE
from fedbrats.site.site_file import read_server_facts


class QuorumScatterAndGather(FinalModelRounds):
    """Scatter and gather as FLARE's, except in what becomes of a round that goes wrong.

    - A round ends when every site has answered, or at a deadline that follows from the sites' measured speeds; before
      it counts, it must meet a rule. A round that does not waits anew and asks anew who failed, after a pause where all
      was over at once, and after so many attempts the job ends with a sentence.
    - An answer that comes late is a row: by how much, and how long the site takes; the next deadline knows, up to
      `first_deadline_s`. A site that misses two deadlines in a row is asked, but not waited for, until it answers.
    - After each finished round the server's state goes to a folder of the server's kit; a job with `resume` goes on
      from it, and its rounds count on.
    - With `rollback_drop`, a model that the sites find worse by more than that is given up for the last good one.

    Args:
        participation: the settings of `fedbrats.federation.participation.Participation`.
        rollback_drop: mean Dice of the median site's loss; None never rolls back.
        resume: ids of the jobs to go on from, newest first.
        start: `none`, or `given` where the job holds the first weights; start_sha256: of their file.
        network_id, model_selector_id: components whose state belongs to the server's.
        scatter_and_gather: FinalModelRounds's, and ScatterAndGather's own arguments.
    """

    def __init__(
        self,
        participation: dict[str, Any] | None = None,
        rollback_drop: float | None = None,
        resume: list[str] | None = None,
        start: str = NONE,
        start_sha256: str | None = None,
        network_id: str = "network",
        model_selector_id: str = "model_selector",
        **scatter_and_gather: Any,
    ):
        check_values({"rollback_drop": rollback_drop})
        super().__init__(participation, **scatter_and_gather)
        self._resume = check_job_ids(resume)
        self._start, self._start_sha256 = start, start_sha256
        self._network_id, self._model_selector_id = network_id, model_selector_id
        self._history = ModelHistory(rollback_drop, self._last_rounds)
        self._submitter, self._state_dir = Submitter(), Path()

    def start_controller(self, fl_ctx: FLContext) -> None:
        """As FLARE's; then take up the state of the job that this one goes on from."""
        super().start_controller(fl_ctx)
        weights = self._global_weights[ModelLearnableKey.WEIGHTS] if self._global_weights else {}
        limit_answers(fl_ctx, sum(np.asarray(value).nbytes for value in weights.values()))
        fl_ctx.set_prop(TOTAL_ROUNDS, self._num_rounds, private=True, sticky=True)  # answers are accepted elsewhere
        try:
            check_deployed_job(fl_ctx)
            check_aggregator(self.aggregator, self.aggregator_id)
            self._state_dir = read_server_facts(local_folder(fl_ctx)).state_dir
            meta = fl_ctx.get_prop(FLContextKey.JOB_META) or {}
            self._named = named_sites(meta)
            self._submitter = Submitter.of(meta)
            if self._resume:
                self._take_up(fl_ctx)
            elif self._start != NONE:
                self._adopt(read_first_model(fl_ctx, weights, self._start_sha256), fl_ctx)
        except FedbratsError as error:
            self.system_panic(str(error), fl_ctx)

    def fire_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """As FLARE's; what follows happens when every component has heard of it."""
        super().fire_event(event_type, fl_ctx)
        if event_type == AppEventType.BEFORE_AGGREGATION:
            self._judge(fl_ctx)
        elif event_type == AppEventType.AFTER_SHAREABLE_TO_LEARNABLE:
            if self._history.rolls_back and self._history.baseline:
                self._adopt(self._history.baseline, fl_ctx)
        elif event_type == AppEventType.ROUND_DONE:
            self._keep_state(fl_ctx, self._current_round)

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """As FLARE's; remembers the best model when the selector names it."""
        super().handle_event(event_type, fl_ctx)
        if event_type == AppEventType.GLOBAL_BEST_MODEL_AVAILABLE:
            score = float(fl_ctx.get_prop(AppConstants.VALIDATION_RESULT))
            self._history.best = self._copy_model({"score": score, "round": self._current_round})

    def _judge(self, fl_ctx: FLContext) -> None:
        """Decide whether the model that this round began with is kept."""
        number = self._current_round
        found = self._history.judge(number, self._scores, self._copy_model)
        baseline = self._history.baseline
        if found is None or baseline is None:
            return
        to = baseline.about["round"]
        if found.verdict is Verdict.OLD_BASELINE:
            message = "no site has judged both this model and the rollback baseline, which stays"
            self.log_warning(fl_ctx, f"{message}; round={number} baseline_round={to}")
        elif found.verdict is Verdict.ROLL_BACK:
            message = f"the model has lost {found.lost:.3f} Dice at the median site: an earlier one takes its place"
            self.log_warning(fl_ctx, f"{message}; round={number} to_round={to}")
            fire_rows(self, [{"kind": "rollback", "round": number, "to_round": to, "drop": found.lost}], fl_ctx)

    def _take_up(self, fl_ctx: FLContext) -> None:
        """Go on from the state of an earlier job. Raises: FedbratsError where that cannot be."""
        found = find_state(self._state_dir, self._resume, self._submitter)
        state, job_id = found.state, found.job_id
        for sentence in found.broken:
            self.log_error(fl_ctx, f"{sentence}; the job goes on from the round before")
        check_same_network(job_id, self._global_weights[ModelLearnableKey.WEIGHTS], state)
        fire_rows(self, [*state.read_rows(), {"kind": "resume", "job": job_id, "round": state.round_number}], fl_ctx)
        self._history.take(state.models)
        if self._history.best:
            selector = fl_ctx.get_engine().get_component(self._model_selector_id)
            restore_best(self._history.best, selector, self.persistor, fl_ctx)
        self._adopt(state.models["global"], fl_ctx)
        self.persistor.save(self._global_weights, fl_ctx)  # where no round is left, nothing else writes it
        set_optimiser(self.shareable_gen, state.optimiser)
        if state.memory:
            self.aggregator.restore(state.memory, fl_ctx)
        with self._lock:
            self._times, self._declared = AnswerTimes(state.seconds, state.missed), dict(state.declared)
        self._current_round = state.round_number + 1
        self.log_info(fl_ctx, f"the job goes on from an earlier one; job={job_id} round={state.round_number}")
        self._keep_state(fl_ctx, state.round_number)

    def _adopt(self, model: Model, fl_ctx: FLContext) -> None:
        """Make a stored model the global one, for the server's optimiser too."""
        weights = {name: value.copy() for name, value in model.weights.items()}
        self._global_weights = make_model_learnable(weights, dict(model.about.get("meta") or {}))
        fl_ctx.set_prop(AppConstants.GLOBAL_MODEL, self._global_weights, private=True, sticky=True)
        set_network(fl_ctx.get_engine().get_component(self._network_id), weights)

    def _keep_state(self, fl_ctx: FLContext, number: int) -> None:
        """Write down the finished round; where that fails the job goes on, and says what a restart would cost."""
        with self._lock:
            seconds, missed, declared = self._times.seconds, self._times.missed, dict(self._declared)
        state = ServerState(
            round_number=number,
            models={"global": self._copy_model({}), **self._history.as_stored()},
            optimiser=read_optimiser(self.shareable_gen),
            memory=self.aggregator.get_persist_state(fl_ctx) or {},
            seconds=seconds,
            missed=missed,
            declared=declared,
            submitter=self._submitter.name,
        )
        try:
            save_state(self._state_dir / fl_ctx.get_job_id(), state, rows_path(fl_ctx))
        except (OSError, ValueError, TypeError) as error:
            message = f"the state of round {number} could not be kept ({error}): a server killed now repeats the round"
            self.log_error(fl_ctx, f"{message}; round={number}")
            fire_rows(self, [{"kind": "trouble", "round": number, "message": message}], fl_ctx)

    def _copy_model(self, about: dict[str, Any]) -> Model:
        """The global model as it is now, with what is said of it."""
        weights = self._global_weights[ModelLearnableKey.WEIGHTS]
        meta = dict(self._global_weights.get(ModelLearnableKey.META) or {})
        return Model({name: np.array(value) for name, value in weights.items()}, {**about, "meta": meta})


def check_aggregator(aggregator: Any, name: str) -> None:
    """Refuse an aggregator without gates, or whose register of cases is broken. Raises: FedbratsError."""
    if not isinstance(aggregator, GatedAggregator):
        raise FedbratsError(f"aggregator {name} must be one of fedbrats: they say who counts")
    aggregator.check_register()
