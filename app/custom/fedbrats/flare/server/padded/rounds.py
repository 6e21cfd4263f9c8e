"""Rounds whose updates are covered: after the sites' offers, a padded exchange gives the aggregator their sum."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from nvflare.apis.controller_spec import Task
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from fedbrats.errors import UpdateError
from fedbrats.federation.aggregator import Combined
from fedbrats.federation.quorum import Phase
from fedbrats.flare import padded_messages as messages
from fedbrats.flare.protocol import SECURE_ANSWER, SECURE_REVEAL, SECURE_SIGN, SECURE_TASKS
from fedbrats.flare.server.padded.asking import Question
from fedbrats.flare.server.padded.offers import Weighed, mean_of
from fedbrats.flare.server.quorum.round_log import RoundLog
from fedbrats.flare.server.quorum.rounds import QuorumRounds
from fedbrats.flare.server.row_events import fire_rows
from fedbrats.jobs.secure import PADS
from fedbrats.jobs.settings import check_values
from fedbrats.privacy.secure.keys import ProtocolError
from fedbrats.privacy.secure.messages import PadRequest, Reveal, ShareError, threshold
from fedbrats.privacy.secure.server import PaddedSum, request_for


class PaddedRounds(QuorumRounds):
    """Rounds with a quorum, with or without pads.

    With pads a round is over when its sum is known and proved. Where that fails the attempt is forgotten, what it had
    of single sites stays covered, and the sites train the round again on other batches.

    Args:
        secure, secure_sites: the variables of the job.
        rounds: as of QuorumRounds.
    """

    def __init__(
        self,
        participation: dict[str, Any] | None = None,
        secure: str = "none",
        secure_sites: list[str] | None = None,
        **rounds: Any,
    ):
        check_values({"secure": secure, "secure_sites": secure_sites})
        self._padded_among = frozenset(secure_sites or ()) if secure == PADS else frozenset()
        if self._padded_among:
            least = threshold(len(self._padded_among))
            participation = {**(participation or {})}
            participation["min_clients"] = max(least, participation.get("min_clients", 0))
        super().__init__(participation, **rounds)

    def broadcast_and_wait(
        self,
        task: Task,
        fl_ctx: FLContext,
        targets: Any = None,
        min_responses: int = 1,
        wait_time_after_min_received: int = 0,
        abort_signal: Signal | None = None,
    ) -> None:
        """As QuorumRounds; with pads, until the aggregator has a sum of what was offered."""
        for attempt in range(1, self._rule.attempts + 1):
            super().broadcast_and_wait(task, fl_ctx, abort_signal=abort_signal)
            is_closed = self._rounds[self._current_round].phase is Phase.CLOSED
            if not is_closed or not self.aggregator.offers:  # an open job, or a personal round
                return
            exchange = _Exchange(self, attempt, fl_ctx, abort_signal)
            lacks = exchange.run()
            if abort_signal and abort_signal.triggered:
                return
            fire_rows(self, [exchange.row(lacks)], fl_ctx)
            if lacks is None:
                return
            if exchange.is_vain:
                break
            at_end = f"round={self._current_round} attempt={attempt} attempts={self._rule.attempts}"
            self.log_error(fl_ctx, f"no sum of the covered updates: {lacks}; {at_end}")
            self.aggregator.reset(fl_ctx)
        why = f"after {attempt} attempts {lacks}; see to these sites, then go on"
        if exchange.is_vain:
            why = f"{lacks}; every attempt would have these shares: set a smaller weight_power, and go on"
        self.system_panic(
            f"round {self._current_round} has no sum: {why} with `fedbrats submit --resume {fl_ctx.get_job_id()}`",
            fl_ctx,
        )

    def process_result_of_unknown_task(
        self, client: Any, task_name: str, client_task_id: str, result: Shareable, fl_ctx: FLContext
    ) -> None:
        """As QuorumRounds; an answer to a step of a padded round that is over is late, and stays covered."""
        if task_name in SECURE_TASKS:
            RoundLog(self, fl_ctx).late(client.name, self._current_round, None, None)
            return
        super().process_result_of_unknown_task(client, task_name, client_task_id, result, fl_ctx)


class _Exchange:
    """One padded exchange: from offers to a sum that the aggregator has."""

    def __init__(self, workflow: PaddedRounds, attempt: int, fl_ctx: FLContext, abort_signal: Signal | None) -> None:
        self._workflow, self._attempt, self._fl_ctx, self._abort = workflow, attempt, fl_ctx, abort_signal
        self._number = workflow._current_round
        self._log = RoundLog(workflow, fl_ctx)
        self._began = time.monotonic()
        self._request: PadRequest | None = None
        self._sum: PaddedSum | None = None
        self._bytes = 0
        self.is_vain = False  # all sites are there, and still one of them counts for too much

    def run(self) -> str | None:
        """Have the aggregator know the sum; returns why it does not, as a clause."""
        aggregator = self._workflow.aggregator
        try:
            aggregator.give(self._mean(aggregator.weigh(self._fl_ctx), aggregator.shared_weights(self._fl_ctx)))
        except UpdateError as error:
            return str(error)
        return None

    def row(self, lacks: str | None) -> dict[str, Any]:
        """The exchange as a row of kind `padded`."""
        return {
            "kind": "padded",
            "round": self._number,
            "attempt": self._attempt,
            "asked": sorted(self._request.coefficients) if self._request else [],
            "members": list(self._sum.members) if self._sum else [],
            "bits": self._request.bits if self._request else None,
            "bytes": {"down": 0, "up": self._bytes},
            "seconds": time.monotonic() - self._began,
            "lacks": lacks,
        }

    def _mean(self, weighed: Weighed, like: Mapping[str, np.ndarray]) -> Combined:
        among, numbers = self._workflow._padded_among, sum(value.size for value in like.values())
        lengths = {site: offer.length for site, offer in weighed.offers.items()}
        job_id = self._fl_ctx.get_job_id()
        request = self._request = request_for(job_id, self._number, self._attempt, weighed.coefficients, lengths)
        try:
            request.check(job_id, among)
        except ShareError:
            self.is_vain = set(request.coefficients) == among
            raise
        total = self._sum = PaddedSum(request, numbers, len(among))
        keys = {site: offer.announcement for site, offer in weighed.offers.items()}

        def take(site: str, data: Any) -> None:
            padded = messages.read_padded(site, data)
            total.take(padded)
            self._bytes += padded.numbers.nbytes

        self._ask(SECURE_ANSWER, messages.write_request(request, keys), request.coefficients, take)
        members = total.close()
        self._check_rule(members)
        reveals = self._reveals(members)
        return mean_of(weighed, request, members, total.release(reveals), like)

    def _check_rule(self, members: Collection[str]) -> None:
        workflow = self._workflow
        counted = {site: cases for site, cases in workflow.aggregator.counted_cases().items() if site in members}
        if lacks := workflow._rule.shortfall(counted, workflow._known_cases()):
            raise ProtocolError(lacks)

    def _reveals(self, members: Collection[str]) -> dict[str, Reveal]:
        """The pads that the members take off once they have signed who they are."""
        about = {"round": self._number, "attempt": self._attempt}
        signatures: dict[str, bytes] = {}
        reveals: dict[str, Reveal] = {}

        def sign(site: str, data: Any) -> None:
            signatures[site] = messages.read_signature(data)

        def reveal(site: str, data: Any) -> None:
            reveals[site] = messages.read_reveal(site, data)

        self._ask(SECURE_SIGN, messages.write({**about, "members": sorted(members)}), members, sign)
        if len(signatures) == len(members):  # a sum lacks whoever reveals nothing
            self._ask(SECURE_REVEAL, messages.write({**about, "signatures": signatures}), members, reveal)
        return reveals

    def _ask(self, task: str, message: Shareable, sites: Collection[str], take: Any) -> None:
        workflow = self._workflow
        question = Question(workflow, self._log, self._number, workflow._task_check_period)
        with workflow._lock:
            deadline_s = workflow._rule.deadline_s(sites, workflow._times.slowest())
        question.ask(
            task,
            message,
            sites,
            take,
            deadline_s=deadline_s,
            present=workflow._sites.present,
            is_over=lambda: bool(self._abort and self._abort.triggered),
        )
