"""FLARE's ScatterAndGather with a quorum: `fedbrats.federation.quorum` decides about a round, and this drives it.

FLARE 2.9.0 closes a round some time after its first `min_clients` answers and says nothing of the others.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from nvflare.apis.controller_spec import Task
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import ReturnCode, Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.workflows.scatter_and_gather import ScatterAndGather

from fedbrats.federation.answer_times import AnswerTimes
from fedbrats.federation.participation import Participation
from fedbrats.federation.quorum import Phase, QuorumRound
from fedbrats.flare.protocol import SILENT_SITES, read_answer, report_of
from fedbrats.flare.server.quorum.round_log import RoundLog
from fedbrats.flare.server.quorum.selection import SelectionGuard
from fedbrats.flare.server.quorum.sites import SiteList
from fedbrats.flare.server.quorum.tasks import RoundTasks, add_told


class QuorumRounds(ScatterAndGather):
    """Asks sites, takes in their answers and says aloud what becomes of each; the base of `QuorumScatterAndGather`.

    Args:
        participation: the settings of `fedbrats.federation.participation.Participation`.
        scatter_and_gather: ScatterAndGather's own arguments.
    """

    def __init__(self, participation: dict[str, Any] | None = None, **scatter_and_gather: Any):
        self._rule = Participation.read(participation or {}, "participation")
        super().__init__(min_clients=self._rule.min_clients, ignore_result_error=True, **scatter_and_gather)
        self._lock = threading.Lock()  # answers come in threads of their own, and change what stands below
        self._times = AnswerTimes()
        self._rounds: dict[int, QuorumRound] = {}
        self._scores: dict[str, float] = {}  # by site: the Dice of the model that the round began with
        self._declared: dict[str, int] = {}  # by site: the cases of its last answer that was counted
        self._selection = SelectionGuard()
        self._named: set[str] | None = None  # the sites that the job is for; None for all

    def start_controller(self, fl_ctx: FLContext) -> None:
        """As FLARE's."""
        super().start_controller(fl_ctx)
        self._sites = SiteList(self._engine, self.get_client_disconnect_time)

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
        add_told(task, self.aggregator.tell())
        tasks = RoundTasks(self, task, fl_ctx)
        log = RoundLog(self, fl_ctx)
        with self._lock:
            self._scores = {}
            self._selection.begin_round(number)
            current = self._rounds[number] = QuorumRound(number, self._rule, self._times)
        while not (abort_signal and abort_signal.triggered):
            with self._lock:
                step = current.advance(self._sites.present(), tasks.open_sites(), self._known_cases())
                awaited = [site for site in step.ask if self._times.is_waited_for(site)]
            if step.ended:
                log.attempt(step.ended, self._rule, sorted(self._sites.known()), step.pause_s)
            tasks.send(awaited)
            for site in step.ask:
                if site not in awaited:  # a task of its own, for the others' must not stay open because of it
                    tasks.send([site])
            if not current.is_open:
                break
            time.sleep(self._task_check_period)
            log.arrivals(self._sites, number)
        self._finish(current, tasks, log)

    def _finish(self, current: QuorumRound, tasks: RoundTasks, log: RoundLog) -> None:
        """Take no more answers; a round that was given up ends the job."""
        with self._lock:
            is_cut_short = current.phase is Phase.WAITING  # the job was aborted
            attempt = current.attempt(tasks.open_sites(), self._known_cases())
            if current.is_open:
                current.close()
            log.fl_ctx.set_prop(SILENT_SITES, self._times.silent(), private=True, sticky=True)
        if is_cut_short and attempt.attempt:
            log.attempt(attempt, self._rule, sorted(self._sites.known()))
        tasks.cancel()
        if current.phase is Phase.GIVEN_UP:
            self.system_panic(
                f"round {current.number} cannot be closed: after {attempt.attempt} attempts {attempt.lacks}"
                f"{attempt.say_failed()}; see to these sites, then go on with `fedbrats submit --resume "
                f"{log.fl_ctx.get_job_id()}`",
                log.fl_ctx,
            )

    def _known_cases(self) -> dict[str, int]:
        known = self.aggregator.registered_cases() or self._declared
        return {site: cases for site, cases in known.items() if self._named is None or site in self._named}

    # ---- an answer

    def _accept_train_result(
        self, client_name: str, result: Shareable, fl_ctx: FLContext, is_unknown_task: bool = False
    ) -> bool:
        """As FLARE's; a site that failed is a row, and nothing is taken in once the round is closed."""
        log = RoundLog(self, fl_ctx)
        with self._lock:
            current = self._rounds.get(self._current_round)
            if current is None or not current.is_open:
                self._note_late(client_name, self._current_round, log)
                return False
            code = result.get_return_code()
            if code and code != ReturnCode.OK:
                current.fail(client_name, str(code))
                log.failure(client_name, current.number, str(code))
                return False
            try:
                return self._take_in(client_name, current, result, fl_ctx, is_unknown_task)
            except Exception as error:  # FLARE would give up the whole round for all sites
                current.fail(client_name, "unreadable")
                message = f"what {client_name} answered in round {current.number} cannot be read: {error!r:.200}"
                log.refusal(client_name, current.number, "unreadable", message)
                return False

    def _take_in(
        self, site: str, current: QuorumRound, result: Shareable, fl_ctx: FLContext, is_unknown_task: bool
    ) -> bool:
        """Let FLARE accept an answer from who it says it is; returns whether it counts."""
        peer = fl_ctx.get_peer_context()
        sender = peer.get_identity_name()
        if sender != site:  # the one is what its message says, the other what its token says
            current.fail(site, "identity")
            message = f"{site} answered round {current.number} in the name of {sender}"
            RoundLog(self, fl_ctx).refusal(site, current.number, "identity", message)
            return False
        report = report_of(read_answer(result))
        answers = (result, peer.get_prop(FLContextKey.SHAREABLE))
        self._selection.settle(site, answers, report, self.aggregator.registered_cases())
        current.measure(site)
        if not super()._accept_train_result(site, result, fl_ctx, is_unknown_task):
            current.fail(site, "refused")
            return False
        self._declared[site] = self.aggregator.counted_cases()[site]
        current.count(site, self._declared[site])
        if report.received_dice is not None:
            self._scores[site] = report.received_dice
        return True

    def _note_late(self, site: str, number: int, log: RoundLog) -> None:
        """Learn from an answer that is not counted how long a site takes."""
        closed = self._rounds.get(number)
        took, late = (closed.elapsed_s, closed.late_s) if closed else (None, None)
        if took is not None and number >= self._current_round - 1:  # of older rounds it would say how long it was away
            self._times.answered(site, took)
        log.late(site, number, took, late)

    def process_result_of_unknown_task(
        self, client: Any, task_name: str, client_task_id: str, result: Shareable, fl_ctx: FLContext
    ) -> None:
        """An answer to a task that is closed: still counted where its round is open, else a row that says how late."""
        number = result.get_cookie(AppConstants.CONTRIBUTION_ROUND)
        if task_name == self.train_task_name and isinstance(number, int) and number != self._current_round:
            with self._lock:
                self._note_late(client.name, number, RoundLog(self, fl_ctx))
            return
        super().process_result_of_unknown_task(client, task_name, client_task_id, result, fl_ctx)
