"""FLARE's ScatterAndGather with a rule of participation, a memory that survives the server, and a way back."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.apis.controller_spec import Task, TaskCompletionStatus
from nvflare.apis.dxo import MetaKey
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import ALL_SITES, JobMetaKey
from nvflare.apis.shareable import ReturnCode, Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.model import ModelLearnableKey, make_model_learnable
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType
from nvflare.app_common.workflows.scatter_and_gather import ScatterAndGather

from fedbrats.errors import FedbratsError
from fedbrats.federation.participation import Participation, case_share
from fedbrats.federation.rollback import drop
from fedbrats.flare.protocol import VALIDATION_DICE, read_answer, report_of
from fedbrats.flare.server.gated_aggregator import TOTAL_ROUNDS, GatedAggregator
from fedbrats.flare.server.optimiser import read_optimiser, set_network, set_optimiser
from fedbrats.flare.server.recorder import fire_rows, rows_path
from fedbrats.flare.server.state import (
    Model,
    ServerState,
    load_state,
    save_state,
)
from fedbrats.jobs.resume import check_job_ids
from fedbrats.site.site_file import read_state_dir
from fedbrats.site_report import SiteReport

MEET_S = 5.0  # how often the job asks the server's own process which sites take part now
MEASURED_ROUNDS = 5  # a site is as slow as in the slowest of its last rounds


class QuorumScatterAndGather(ScatterAndGather):
    """Scatter and gather as FLARE's, except in what becomes of a round that goes wrong.

    - A round ends when every site has answered, or at a deadline that follows from the sites' measured speeds; before
      it counts, it must meet a rule. A round that does not waits anew and asks anew who failed, after a pause where all
      was over at once, and after so many attempts the job ends with a sentence. FLARE 2.9.0 closes a round some time
      after its first `min_clients` answers and says nothing of the others.
    - An answer that comes late is a row: by how much, and how long the site takes; the next deadline knows, up to
      `first_deadline_s`.
    - After each finished round the server's state goes to a folder of the server's kit; a job with `resume` goes on
      from it, and its rounds count on.
    - With `rollback_drop`, a model that the sites find worse by more than that is given up for the last good one.

    Args:
        participation: the settings of `fedbrats.federation.participation.Participation`.
        rollback_drop: mean Dice of the median site's loss; None never rolls back.
        resume: ids of the jobs to go on from, newest first.
        network_id, model_selector_id: components whose state belongs to the server's.
        other arguments: as ScatterAndGather's.
    """

    def __init__(
        self,
        participation: dict[str, Any] | None = None,
        rollback_drop: float | None = None,
        resume: list[str] | None = None,
        network_id: str = "network",
        model_selector_id: str = "model_selector",
        **scatter_and_gather: Any,
    ):
        self._rule = Participation.read(participation or {}, "participation")
        super().__init__(min_clients=self._rule.min_clients, ignore_result_error=True, **scatter_and_gather)
        self._rollback_drop = rollback_drop
        self._resume = check_job_ids(resume)
        self._network_id = network_id
        self._model_selector_id = model_selector_id
        self._lock = threading.Lock()  # answers come in threads of their own
        self._open = False
        self._began: dict[int, float] = {}
        self._paused_s = 0.0  # of the round's seconds, which no site took
        self._closed: dict[int, float] = {}
        self._counted: set[str] = set()
        self._selecting: set[str] = set()  # who has been heard by the selector of the best model
        self._failed: dict[str, str] = {}
        self._scores: dict[str, float] = {}
        self._seconds: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=MEASURED_ROUNDS))
        self._declared: dict[str, int] = {}
        self._submitter: str | None = None
        self._submitter_role: str | None = None
        self._named: set[str] | None = None  # the sites that the job is for; None for all
        self._good: Model | None = None
        self._best: Model | None = None
        self._rolls_back = False
        self._state_dir = Path()
        self._met = 0.0

    # ---- the beginning of a job

    def start_controller(self, fl_ctx: FLContext) -> None:
        """As FLARE's; then take up the state of the job that this one goes on from."""
        super().start_controller(fl_ctx)
        fl_ctx.set_prop(TOTAL_ROUNDS, self._num_rounds, private=True, sticky=True)  # answers are accepted elsewhere
        try:
            if not isinstance(self.aggregator, GatedAggregator):
                raise FedbratsError(
                    f"aggregator {self.aggregator_id} must be one of fedbrats, which tells who is counted"
                )
            self.aggregator.check_register()
            workspace = fl_ctx.get_engine().get_workspace()
            self._state_dir = read_state_dir(Path(workspace.get_site_config_dir()))
            meta = fl_ctx.get_prop(FLContextKey.JOB_META) or {}
            self._named = _named_sites(meta)
            self._submitter = meta.get(JobMetaKey.SUBMITTER_NAME.value)
            self._submitter_role = meta.get(JobMetaKey.SUBMITTER_ROLE.value)
            if self._resume:
                self._take_up(fl_ctx)
        except FedbratsError as error:
            self.system_panic(str(error), fl_ctx)

    def _take_up(self, fl_ctx: FLContext) -> None:
        state = None
        for job_id in self._resume:
            state, broken = load_state(self._state_dir / job_id)
            for sentence in broken:
                self.log_error(fl_ctx, f"{sentence}; the job goes on from the round before")
            if state:
                break
        if state is None:
            raise FedbratsError(
                f"this server has no state of job {self._resume[0]} in {self._state_dir}: it was kept elsewhere, or "
                "the job ended before its first round; submit it anew, without --resume"
            )
        if state.submitter != self._submitter and self._submitter_role != "project_admin":
            whose = f"was submitted by {state.submitter}" if state.submitter else "does not say whose it was"
            raise FedbratsError(f"job {job_id} {whose}: only its submitter or a project admin goes on from its models")
        fire_rows(self, [*state.read_rows(), {"kind": "resume", "job": job_id, "round": state.round_number}], fl_ctx)
        weights = self._global_weights[ModelLearnableKey.WEIGHTS]
        own = state.models["global"].weights
        if {name: np.shape(value) for name, value in weights.items()} != {name: v.shape for name, v in own.items()}:
            raise FedbratsError(f"job {job_id} trained another network than this one; resume it with its own settings")
        self._best, self._good = state.models.get("best"), state.models.get("good")
        if self._best:
            self._restore_best(self._best, fl_ctx)
        self._adopt(state.models["global"], fl_ctx)
        set_optimiser(self.shareable_gen, state.optimiser)
        if state.memory:
            self.aggregator.restore(state.memory, fl_ctx)
        for site, seconds in state.seconds.items():
            self._seconds[site].extend(seconds)
        self._declared = dict(state.declared)
        self._current_round = state.round_number + 1
        self.log_info(fl_ctx, f"goes on from round {state.round_number} of job {job_id}")
        self._keep_state(fl_ctx, state.round_number)

    def _adopt(self, model: Model, fl_ctx: FLContext) -> None:
        """Make a stored model the global one, for the server's optimiser too."""
        weights = {name: value.copy() for name, value in model.weights.items()}
        self._global_weights = make_model_learnable(weights, dict(model.about.get("meta") or {}))
        fl_ctx.set_prop(AppConstants.GLOBAL_MODEL, self._global_weights, private=True, sticky=True)
        set_network(fl_ctx.get_engine().get_component(self._network_id), weights)

    def _restore_best(self, model: Model, fl_ctx: FLContext) -> None:
        selector = fl_ctx.get_engine().get_component(self._model_selector_id)
        if selector is not None:
            selector.best_val_metric = model.about["score"]
        best = make_model_learnable(dict(model.weights), dict(model.about["meta"]))
        fl_ctx.set_prop(AppConstants.GLOBAL_MODEL, best, private=True, sticky=True)
        self.persistor.handle_event(AppEventType.GLOBAL_BEST_MODEL_AVAILABLE, fl_ctx)

    # ---- a round

    def broadcast_and_wait(
        self,
        task: Task,
        fl_ctx: FLContext,
        targets: Any = None,
        min_responses: int = 1,
        wait_time_after_min_received: int = 0,
        abort_signal: Signal | None = None,
    ) -> None:
        """Ask every connected site, wait for as long as the rule says, and ask again where it is not met."""
        number = self._current_round
        with self._lock:
            self._counted, self._selecting, self._failed, self._scores = set(), set(), {}, {}
            self._began[number], self._open = time.monotonic(), True
            self._paused_s = 0.0
        standing: dict[str, Task] = {}
        lack: str | None = None
        for attempt in range(1, self._rule.attempts + 1):
            sites = self._ask(task, standing, fl_ctx)
            began = time.monotonic()
            deadline_s = self._rule.deadline_s(sites, {site: max(past) for site, past in self._measured().items()})
            early = False
            while not (abort_signal and abort_signal.triggered) and time.monotonic() - began < deadline_s:
                if early := self._all_have_answered(sites, standing):
                    break
                time.sleep(self._task_check_period)
                self._meet(fl_ctx)
                if not self._present() <= sites:
                    sites |= self._ask(task, standing, fl_ctx)
            lack = self._end_attempt(attempt, sites, standing, deadline_s, fl_ctx)
            if lack is None or (abort_signal and abort_signal.triggered):
                break
            if early and attempt < self._rule.attempts:
                self._pause(self._rule.pause_s(attempt), sites, fl_ctx, abort_signal)
                if abort_signal and abort_signal.triggered:
                    break
        with self._lock:
            self._open, self._closed[number] = False, time.monotonic()
        for each in standing.values():
            if each.completion_status is None:
                self.cancel_task(each, TaskCompletionStatus.TIMEOUT)
        if lack and not (abort_signal and abort_signal.triggered):
            self.system_panic(
                f"round {number} cannot be closed: after {self._rule.attempts} attempts {lack}"
                f"{self._say_failed()}; see to these sites, then go on with `fedbrats submit --resume "
                f"{fl_ctx.get_job_id()}`",
                fl_ctx,
            )

    def _ask(self, task: Task, standing: dict[str, Task], fl_ctx: FLContext) -> set[str]:
        """Send the round's task to every connected site that is neither counted nor at work; returns all of them."""
        sites = self._present()
        with self._lock:
            missing = sorted(sites - self._counted - self._waiting(standing))
            for site in missing:
                self._failed.pop(site, None)
        if missing:
            fresh = Task(
                name=task.name,
                data=task.data,
                operator=task.operator,
                before_task_sent_cb=task.before_task_sent_cb,
                result_received_cb=task.result_received_cb,
            )
            self.broadcast(task=fresh, fl_ctx=fl_ctx, targets=missing, min_responses=len(missing))
            standing.update(dict.fromkeys(missing, fresh))
        return sites

    def _pause(self, pause_s: float, sites: set[str], fl_ctx: FLContext, abort_signal: Signal | None) -> None:
        """Leave sites that failed at once time to recover; ends where another site comes or the job is aborted."""
        with self._lock:
            failed = ", ".join(sorted(self._failed))
        self.log_warning(fl_ctx, f"round {self._current_round}: {failed} will be asked again in {pause_s:.0f} s")
        began = time.monotonic()
        while not (abort_signal and abort_signal.triggered) and time.monotonic() - began < pause_s:
            if not self._present() <= sites:
                break
            time.sleep(min(self._task_check_period, pause_s))
            self._meet(fl_ctx)
        with self._lock:
            self._paused_s += time.monotonic() - began

    def _all_have_answered(self, sites: set[str], standing: Mapping[str, Task]) -> bool:
        """Whether waiting longer is of no use; while too few sites are there, others may come back."""
        if not sites or any(each.completion_status is None for each in standing.values()):
            return False
        return bool(self._failed) or self._lack() is None

    def _lack(self) -> str | None:
        return self._rule.shortfall(self.aggregator.counted_cases(), self._known_cases())

    def _known_cases(self) -> dict[str, int]:
        known = self.aggregator.registered_cases() or dict(self._declared)  # answers may come in meanwhile
        return {site: cases for site, cases in known.items() if self._named is None or site in self._named}

    def _measured(self) -> dict[str, list[float]]:
        """How long each site has lately taken; a copy, for a late answer may add to it at any time."""
        with self._lock:
            return {site: list(past) for site, past in self._seconds.items() if past}

    def _waiting(self, standing: Mapping[str, Task]) -> set[str]:
        """The sites that are still at work on this round."""
        asked = {site for site, each in standing.items() if each.completion_status is None}
        return asked - self._counted - self._failed.keys()

    def _present(self) -> set[str]:
        """The sites of the job, but for those whose process has been dead for a minute: nobody waits for them."""
        names = {client.name for client in self._engine.get_clients()}
        return {name for name in names if self.get_client_disconnect_time(name) is None}

    def _meet(self, fl_ctx: FLContext) -> None:
        """Learn which sites have joined or come back; each is a row."""
        if time.monotonic() - self._met < MEET_S:
            return
        before = {client.name: client.token for client in self._engine.get_clients()}
        try:
            self._engine.sync_clients_from_main_process()
        except RuntimeError as error:
            self.log_warning(fl_ctx, f"the server's own process does not say which sites there are: {error}")
        self._met = time.monotonic()
        for client in self._engine.get_clients():
            if before.get(client.name) != client.token:
                again = client.name in before
                self.log_info(fl_ctx, f"{client.name} {'is back' if again else 'joins'} in round {self._current_round}")
                row = {"kind": "joined", "round": self._current_round, "site": client.name, "again": again}
                fire_rows(self, [row], fl_ctx)

    def _end_attempt(
        self, attempt: int, sites: set[str], standing: Mapping[str, Task], deadline_s: float, fl_ctx: FLContext
    ) -> str | None:
        """Judge the round so far; a row says what it waited for. Returns what it lacks."""
        number = self._current_round
        counted = self.aggregator.counted_cases()
        lack = self._lack()
        waiting = sorted(self._waiting(standing))
        row = {
            "kind": "participation",
            "round": number,
            "attempt": attempt,
            "asked": sorted(sites),
            "absent": sorted({client.name for client in self._engine.get_clients()} - sites),
            "counted": sorted(counted),
            "failed": sorted(self._failed),
            "waiting": waiting,
            "case_share": case_share(counted, self._known_cases()),
            "deadline_s": deadline_s,
            "seconds": time.monotonic() - self._began[number],
            "lacks": lack,
        }
        fire_rows(self, [row], fl_ctx)
        bound = ", the most that first_deadline_s allows" if deadline_s >= self._rule.longest_s else ""
        if waiting:
            self.log_warning(
                fl_ctx, f"round {number}: no answer from {', '.join(waiting)} within {deadline_s:.0f} s{bound}"
            )
        if lack:
            self.log_error(
                fl_ctx,
                f"round {number}, attempt {attempt} of {self._rule.attempts}: {lack}{self._say_failed()}",
            )
        return lack

    def _say_failed(self) -> str:
        failed = ", ".join(f"{site}, {why}" for site, why in sorted(self._failed.items()))
        return f" (failed: {failed})" if failed else ""

    def _accept_train_result(
        self, client_name: str, result: Shareable, fl_ctx: FLContext, is_unknown_task: bool = False
    ) -> bool:
        """As FLARE's; a site that failed is a row, and nothing is taken in once the round is closed."""
        with self._lock:
            number = self._current_round
            if not self._open:
                self._note_late(client_name, number, fl_ctx)
                return False
            code = result.get_return_code()
            if code and code != ReturnCode.OK:
                self._failed[client_name] = str(code)
                whose = (
                    "its own log, or this server's," if code == ReturnCode.TASK_RESULT_FILTER_ERROR else "its own log"
                )
                message = f"{client_name} could not do round {number} ({code}); {whose} says why"
                self.log_warning(fl_ctx, message)
                row = {"round": number, "site": client_name, "reason": "failed", "message": message}
                fire_rows(self, [{"kind": "refusal", **row}], fl_ctx)
                return False
            try:
                return self._take_in(client_name, number, result, fl_ctx, is_unknown_task)
            except Exception as error:  # FLARE would give up the whole round for all sites
                message = f"what {client_name} answered in round {number} cannot be read: {error!r:.200}"
                self._refuse(client_name, number, "unreadable", message, fl_ctx)
                return False

    def _take_in(self, site: str, number: int, result: Shareable, fl_ctx: FLContext, is_unknown_task: bool) -> bool:
        """Let FLARE accept an answer from who it says it is; returns whether it counts."""
        sender = fl_ctx.get_peer_context().get_identity_name()
        if sender != site:  # the one is what its message says, the other what its token says
            message = f"{site} answered round {number} in the name of {sender}"
            self._refuse(site, number, "identity", message, fl_ctx)
            return False
        report = report_of(read_answer(result))
        self._settle_selection(site, result, report, fl_ctx)
        self._seconds[site].append(time.monotonic() - self._began[number] - self._paused_s)
        if not super()._accept_train_result(site, result, fl_ctx, is_unknown_task):
            if site not in self._counted:  # a second answer does not undo the first
                self._failed[site] = "refused"
            return False
        self._counted.add(site)
        self._declared[site] = self.aggregator.counted_cases()[site]
        if report.received_dice is not None:
            self._scores[site] = report.received_dice
        return True

    def _refuse(self, site: str, number: int, reason: str, message: str, fl_ctx: FLContext) -> None:
        """Say aloud that an answer is not counted; unless the site is already, it may be asked again."""
        if site not in self._counted:
            self._failed[site] = reason
        self.log_error(fl_ctx, message)
        row = {"round": number, "site": site, "reason": reason, "message": message}
        fire_rows(self, [{"kind": "refusal", **row}], fl_ctx)

    def _settle_selection(self, site: str, result: Shareable, report: SiteReport, fl_ctx: FLContext) -> None:
        """Let FLARE's selector of the best model see a Dice from 0 to 1 and weigh it by cases, whatever a site says.

        It looks at every answer before the gates do, would take any number of steps for a weight, and a second answer
        for another site's.
        """
        dice, cases = report.received_dice, report.training_cases or 0
        registered = self.aggregator.registered_cases()
        weight = min(cases, registered.get(site, 0)) if registered else cases
        weight = 0 if site in self._selecting else weight
        self._selecting.add(site)
        for shareable in (result, fl_ctx.get_peer_context().get_prop(FLContextKey.SHAREABLE)):
            answer = read_answer(shareable) if isinstance(shareable, Shareable) else None
            if answer is None:
                continue
            answer.meta.pop(MetaKey.INITIAL_METRICS, None)
            if dice is not None and weight > 0:
                answer.set_meta_prop(MetaKey.INITIAL_METRICS, {VALIDATION_DICE: dice})
                answer.set_meta_prop(MetaKey.NUM_STEPS_CURRENT_ROUND, weight)
            answer.update_shareable(shareable)

    def process_result_of_unknown_task(
        self, client: Any, task_name: str, client_task_id: str, result: Shareable, fl_ctx: FLContext
    ) -> None:
        """An answer to a task that is closed: still counted where its round is open, else a row that says how late."""
        number = result.get_cookie(AppConstants.CONTRIBUTION_ROUND)
        if task_name == self.train_task_name and isinstance(number, int) and number != self._current_round:
            with self._lock:
                self._note_late(client.name, number, fl_ctx)
            return
        super().process_result_of_unknown_task(client, task_name, client_task_id, result, fl_ctx)

    def _note_late(self, site: str, number: int, fl_ctx: FLContext) -> None:
        now = time.monotonic()
        took = now - self._began[number] if number in self._began else None
        late = now - self._closed[number] if number in self._closed else None
        if took is not None and number >= self._current_round - 1:  # of older rounds it would say how long it was away
            self._seconds[site].append(took)
        said = f"{late:.0f} s after the round was closed" if late is not None else "after the round was closed"
        self.log_warning(fl_ctx, f"the answer of {site} to round {number} came {said} and is not counted")
        fire_rows(self, [{"kind": "late", "round": number, "site": site, "late_s": late, "took_s": took}], fl_ctx)

    # ---- the end of a round

    def fire_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """As FLARE's; what follows happens when every component has heard of it."""
        super().fire_event(event_type, fl_ctx)
        if event_type == AppEventType.BEFORE_AGGREGATION:
            self._judge(fl_ctx)
        elif event_type == AppEventType.AFTER_SHAREABLE_TO_LEARNABLE and self._rolls_back and self._good:
            self._adopt(self._good, fl_ctx)
        elif event_type == AppEventType.ROUND_DONE:
            self._keep_state(fl_ctx, self._current_round)

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """As FLARE's; remembers the best model when the selector names it."""
        super().handle_event(event_type, fl_ctx)
        if event_type == AppEventType.GLOBAL_BEST_MODEL_AVAILABLE:
            score = fl_ctx.get_prop(AppConstants.VALIDATION_RESULT)
            about = {"score": float(score), "round": self._current_round, "meta": self._meta()}
            self._best = Model(self._copy_of_global(), about)

    def _judge(self, fl_ctx: FLContext) -> None:
        """Decide whether the model that this round began with is kept."""
        self._rolls_back = False
        if self._rollback_drop is None:
            return
        number = self._current_round
        lost = drop(self._scores, self._good.about["scores"]) if self._good else 0.0
        if self._good is None or lost <= self._rollback_drop:
            about = {"scores": dict(self._scores), "round": number, "meta": self._meta()}
            self._good = Model(self._copy_of_global(), about)
            return
        self._rolls_back = True
        to = self._good.about["round"]
        self.log_warning(
            fl_ctx,
            f"the model that round {number} began with has lost {lost:.3f} Dice at the median site: the model that "
            f"round {to} began with takes its place",
        )
        fire_rows(self, [{"kind": "rollback", "round": number, "to_round": to, "drop": lost}], fl_ctx)

    def _keep_state(self, fl_ctx: FLContext, number: int) -> None:
        """Write down the finished round; where that fails the job goes on, and says what a restart would cost."""
        models = {"global": Model(self._copy_of_global(), {"meta": self._meta()})}
        models |= {kind: model for kind, model in (("best", self._best), ("good", self._good)) if model}
        with self._lock:
            declared = dict(self._declared)
        state = ServerState(
            round_number=number,
            models=models,
            optimiser=read_optimiser(self.shareable_gen),
            memory=self.aggregator.get_persist_state(fl_ctx) or {},
            seconds=self._measured(),
            declared=declared,
            submitter=self._submitter,
        )
        try:
            save_state(self._state_dir / fl_ctx.get_job_id(), state, rows_path(fl_ctx))
        except (OSError, ValueError, TypeError) as error:
            message = f"the state of round {number} could not be kept ({error}): a server killed now repeats the round"
            self.log_error(fl_ctx, message)
            fire_rows(self, [{"kind": "trouble", "round": number, "message": message}], fl_ctx)

    def _copy_of_global(self) -> dict[str, np.ndarray]:
        weights = self._global_weights[ModelLearnableKey.WEIGHTS]
        return {name: np.array(value) for name, value in weights.items()}

    def _meta(self) -> dict[str, Any]:
        return dict(self._global_weights.get(ModelLearnableKey.META) or {})


def _named_sites(meta: Mapping[str, Any]) -> set[str] | None:
    """The sites that the job's deploy map names; None where it is for all."""
    apps = (meta.get(JobMetaKey.DEPLOY_MAP.value) or {}).values()
    names = {name for sites in apps for name in sites if isinstance(name, str)}
    return None if ALL_SITES in names or not names else names
