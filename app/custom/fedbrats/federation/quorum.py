"""One round of a job as a state machine: who is asked, who is waited for and until when, and when the round is closed.

    WAITING --quorum met--> CLOSED
    WAITING --all failed at once--> PAUSED --pause over, or another site came--> WAITING (next attempt)
    WAITING --deadline passed--> WAITING (next attempt)
    WAITING --last attempt ended without quorum--> GIVEN_UP

It knows no FLARE, starts no thread and reads no clock but the one that it is given: whoever drives it calls `advance`
again and again, sends what it says to the sites, and reports their answers with `count` and `fail`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from enum import Enum

from fedbrats.federation.answer_times import AnswerTimes
from fedbrats.federation.participation import Participation, case_share


class Phase(Enum):
    """Where a round is."""

    WAITING = "waiting"
    PAUSED = "paused"
    CLOSED = "closed"
    GIVEN_UP = "given up"


@dataclass(frozen=True)
class Attempt:
    """One attempt of a round, as a row of kind `participation` has it.

    Attributes:
        round: of the job, from 0.
        attempt: of the round, from 1.
        asked: the sites that were connected, which have all been asked.
        counted: the sites whose answer is counted.
        failed: the sites that answered something else, and what.
        waiting: the sites that have not answered.
        not_waited_for: those of them that a round no longer waits for.
        case_share: the share of all cases that the counted sites hold.
        deadline_s: how long the attempt would have waited.
        seconds: since the round began.
        lacks: what the round lacks of its rule; None where it is met.
    """

    round: int
    attempt: int
    asked: list[str]
    counted: list[str]
    failed: dict[str, str]
    waiting: list[str]
    not_waited_for: list[str]
    case_share: float
    deadline_s: float
    seconds: float
    lacks: str | None

    def say_failed(self) -> str:
        """Who has failed and why, in brackets; empty where nobody has."""
        failed = ", ".join(f"{site}, {why}" for site, why in sorted(self.failed.items()))
        return f" (failed: {failed})" if failed else ""


@dataclass(frozen=True)
class Step:
    """What `advance` found.

    Attributes:
        phase: where the round is now.
        ask: sites that must be sent the round's task now, in order.
        ended: the attempt that has just ended, if one has.
        pause_s: how long the pause is that has just begun; 0 where none has.
    """

    phase: Phase
    ask: tuple[str, ...] = ()
    ended: Attempt | None = None
    pause_s: float = 0.0


class QuorumRound:
    """The state of one round.

    Args:
        number: of the round.
        rule: of the job.
        times: of the job; the round adds to them.
        clock: seconds that never jump.
    """

    def __init__(
        self, number: int, rule: Participation, times: AnswerTimes, clock: Callable[[], float] = time.monotonic
    ):
        self.number = number
        self.phase = Phase.WAITING
        self.counted: dict[str, int] = {}  # by site: its cases
        self.failed: dict[str, str] = {}  # by site: why
        self._rule = rule
        self._times = times
        self._clock = clock
        self._began = clock()
        self._paused_s = 0.0  # of the round's seconds, which no site took
        self._closed: float | None = None
        self._attempt = 0
        self._sites: set[str] = set()  # that this attempt has asked, or need not ask
        self._present: set[str] = set()  # at the last look
        self._attempt_began = self._deadline_s = self._pause_began = self._pause_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether answers are still taken in."""
        return self.phase in (Phase.WAITING, Phase.PAUSED)

    def count(self, site: str, cases: int) -> None:
        """An answer is counted."""
        self.counted[site] = cases
        self.failed.pop(site, None)

    def fail(self, site: str, why: str) -> None:
        """A site has answered something that is not counted; one that is counted already stays so."""
        if site not in self.counted:
            self.failed[site] = why

    def measure(self, site: str) -> None:
        """Note how long a site took, which has answered in time."""
        self._times.answered(site, self.elapsed_s)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the round began, without its pauses."""
        return self._clock() - self._began - self._paused_s

    @property
    def late_s(self) -> float | None:
        """Seconds since the round was closed; None where it is open."""
        return None if self._closed is None else self._clock() - self._closed

    def advance(self, present: Set[str], open_tasks: Set[str], known: Mapping[str, int]) -> Step:
        """Move on, and say what is to be done.

        Args:
            present: the sites that are connected.
            open_tasks: the sites whose task has been sent and has not ended.
            known: the cases of every site that the job is for.
        """
        if self._attempt == 0:
            return self._begin_attempt(present, open_tasks)
        if self.phase is Phase.PAUSED:
            return self._stay_paused(present, open_tasks)
        if self.phase is not Phase.WAITING:
            return Step(self.phase)
        over = self._clock() - self._attempt_began >= self._deadline_s
        early = not over and self._is_settled(open_tasks, known)
        if over or early:
            return self._end_attempt(present, open_tasks, known, early)
        # One that was away for long has lost its task: it is asked again, unless it is still at work.
        came, self._present = present - self._present, set(present)
        self._sites |= present
        return Step(self.phase, ask=self._unasked(present, open_tasks) if came else ())

    def attempt(self, open_tasks: Set[str], known: Mapping[str, int]) -> Attempt:
        """The present attempt as it stands."""
        waiting = sorted(self._at_work(open_tasks))
        return Attempt(
            round=self.number,
            attempt=self._attempt,
            asked=sorted(self._sites),
            counted=sorted(self.counted),
            failed=dict(self.failed),
            waiting=waiting,
            not_waited_for=[site for site in waiting if not self._times.is_waited_for(site)],
            case_share=case_share(self.counted, known),
            deadline_s=self._deadline_s,
            seconds=self._clock() - self._began,
            lacks=self._rule.shortfall(self.counted, known),
        )

    def close(self) -> None:
        """Take no more answers, whatever the round lacks."""
        self._end(Phase.CLOSED)

    def _begin_attempt(self, present: Set[str], open_tasks: Set[str]) -> Step:
        self.phase = Phase.WAITING
        self._attempt += 1
        self._sites, self._present = set(present), set(present)
        ask = self._unasked(present, open_tasks)
        self._attempt_began = self._clock()
        waited_for = [site for site in present if self._times.is_waited_for(site)]
        self._deadline_s = self._rule.deadline_s(waited_for, self._times.slowest())
        return Step(self.phase, ask=ask)

    def _end_attempt(self, present: Set[str], open_tasks: Set[str], known: Mapping[str, int], early: bool) -> Step:
        ended = self.attempt(open_tasks, known)
        is_last = self._attempt >= self._rule.attempts
        if ended.lacks is None or is_last:
            for site in present & self._at_work(open_tasks):
                self._times.missed_deadline(site)
            self._end(Phase.CLOSED if ended.lacks is None else Phase.GIVEN_UP)
            return Step(self.phase, ended=ended)
        if not early:
            return Step(self.phase, ask=self._begin_attempt(present, open_tasks).ask, ended=ended)
        self.phase = Phase.PAUSED
        self._pause_began, self._pause_s = self._clock(), self._rule.pause_s(self._attempt)
        return Step(self.phase, ended=ended, pause_s=self._pause_s)

    def _stay_paused(self, present: Set[str], open_tasks: Set[str]) -> Step:
        paused_s = self._clock() - self._pause_began
        if paused_s < self._pause_s and present <= self._sites:
            return Step(self.phase)
        self._paused_s += paused_s
        return self._begin_attempt(present, open_tasks)

    def _end(self, phase: Phase) -> None:
        self.phase, self._closed = phase, self._clock()

    def _is_settled(self, open_tasks: Set[str], known: Mapping[str, int]) -> bool:
        """Whether waiting longer is of no use; while too few sites are there, others may come back."""
        if not self._sites or any(self._times.is_waited_for(site) for site in open_tasks):
            return False
        return bool(self.failed) or self._rule.shortfall(self.counted, known) is None

    def _at_work(self, open_tasks: Set[str]) -> set[str]:
        return set(open_tasks) - self.counted.keys() - self.failed.keys()

    def _unasked(self, present: Set[str], open_tasks: Set[str]) -> tuple[str, ...]:
        """The connected sites that are neither counted nor at work; what they failed at before is forgotten."""
        sites = sorted(set(present) - self.counted.keys() - self._at_work(open_tasks))
        for site in sites:
            self.failed.pop(site, None)
        return tuple(sites)
