"""A round as a state machine, driven second by second with a clock of the test's own."""

from dataclasses import dataclass, field

import pytest

from fedbrats.federation.answer_times import MOST_MISSED, AnswerTimes
from fedbrats.federation.participation import Participation
from fedbrats.federation.quorum import Phase, QuorumRound
from tests.security.attacks import attack

RULE = Participation(
    min_clients=2,
    min_case_share=0.0,
    first_deadline_s=3600,
    deadline_factor=3,
    deadline_floor_s=300,
    attempts=3,
)
NEVER, FAILS, LATE = "never answers", "fails at once", "answers after the deadline"


@dataclass
class Drill:
    """A federation of a rule, a clock and sites; each takes so many seconds for a round, or behaves as it is named."""

    sites: dict[str, float | str]
    rule: Participation = RULE
    now: float = 0.0
    times: AnswerTimes = field(default_factory=AnswerTimes)
    number: int = 0
    attempts: list = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)
    comes: dict[str, float] = field(default_factory=dict)  # when a site connects, if it is not there from the start
    away: dict[str, tuple[float, float]] = field(default_factory=dict)  # from when to when; its task is lost with it

    def round(self) -> QuorumRound:
        found = QuorumRound(self.number, self.rule, self.times, lambda: self.now)
        self.number += 1
        due: dict[str, float] = {}
        while True:
            gone = {site for site, (leaves, returns) in self.away.items() if leaves <= self.now < returns}
            present = {site for site in self.sites if self.now >= self.comes.get(site, 0.0)} - gone
            due = {site: at for site, at in due.items() if site not in gone}
            step = found.advance(present, set(due), self.known)
            due |= {site: self.now + self._takes(site) for site in step.ask}
            self.attempts += [step.ended] if step.ended else []
            if not found.is_open:
                for site in [site for site in due if self.sites[site] == LATE]:
                    self.times.answered(site, found.elapsed_s)
                return found
            self.now += 1.0
            for site in [site for site, at in due.items() if at <= self.now]:
                del due[site]
                if self.sites[site] == FAILS:
                    found.fail(site, "EXECUTION_EXCEPTION")
                else:
                    found.measure(site)
                    found.count(site, 10)

    def _takes(self, site: str) -> float:
        takes = self.sites[site]
        return takes if isinstance(takes, float) else 1.0 if takes == FAILS else float("inf")


def test_a_round_is_closed_as_soon_as_every_site_is_counted():
    drill = Drill({"a": 10.0, "b": 20.0})
    assert drill.round().phase is Phase.CLOSED
    assert drill.now == 20.0
    (attempt,) = drill.attempts
    assert (attempt.attempt, attempt.counted, attempt.failed, attempt.waiting) == (1, ["a", "b"], {}, [])
    assert (attempt.lacks, attempt.deadline_s, attempt.case_share) == (None, 3600, 1.0)


def test_a_site_that_stops_answering_is_waited_for_till_its_deadline():
    drill = Drill({"a": 10.0, "b": 20.0, "c": 20.0})
    drill.round()
    drill.sites["c"] = NEVER
    began = drill.now
    assert drill.round().phase is Phase.CLOSED
    assert drill.now - began == 300.0
    assert drill.attempts[-1].waiting == ["c"]
    assert drill.times.missed == {"c": 1}


@attack(
    "take the task of every round and answer none",
    who="a hospital",
    happens="two rounds wait for it until their deadline, and no other until it answers",
    says="missed earlier deadlines and is not waited for",
)
def test_a_site_that_never_answers_costs_two_deadlines_in_a_whole_job():
    drill = Drill({"a": 10.0, "b": 12.0, "silent": NEVER})
    for _ in range(25):
        assert drill.round().phase is Phase.CLOSED
    assert drill.now == MOST_MISSED * RULE.longest_s + (25 - MOST_MISSED) * 12.0
    assert [attempt.not_waited_for for attempt in drill.attempts] == [[]] * MOST_MISSED + [["silent"]] * 23
    assert all("silent" in attempt.asked and attempt.waiting == ["silent"] for attempt in drill.attempts)


def test_a_site_that_answers_is_waited_for_again():
    drill = Drill({"a": 10.0, "b": 12.0, "c": NEVER})
    for _ in range(3):
        drill.round()
    drill.sites["c"] = 11.0  # in time, for the others take longer
    assert drill.round().counted.keys() == {"a", "b", "c"}
    drill.sites["c"] = 100.0
    assert drill.round().counted.keys() == {"a", "b", "c"}


def test_a_late_answer_counts_as_one_so_that_a_slow_site_is_not_lost():
    drill = Drill({"a": 10.0, "b": 12.0, "c": NEVER})
    for _ in range(3):
        drill.round()
    drill.times.answered("c", 500.0)
    drill.sites["c"] = 500.0
    assert drill.round().counted.keys() == {"a", "b", "c"}
    assert drill.attempts[-1].deadline_s == 1500.0


def test_a_round_that_lacks_sites_waits_for_those_that_others_do_not_wait_for():
    drill = Drill({"a": 10.0, "b": 12.0, "c": NEVER})
    for _ in range(MOST_MISSED):
        drill.round()
    drill.sites |= {"b": NEVER, "c": 250.0}
    assert drill.round().counted.keys() == {"a", "c"}


def test_sites_that_fail_at_once_are_asked_again_after_pauses_and_then_the_round_is_given_up():
    drill = Drill({"a": 1.0, "b": FAILS})
    found = drill.round()
    assert found.phase is Phase.GIVEN_UP
    assert [attempt.attempt for attempt in drill.attempts] == [1, 2, 3]
    assert drill.attempts[-1].say_failed() == " (failed: b, EXECUTION_EXCEPTION)"
    assert drill.now == pytest.approx(10 + 20, abs=5)
    assert found.elapsed_s == pytest.approx(3, abs=2)  # pauses are nobody's


def test_a_site_that_comes_ends_a_pause_and_is_asked():
    drill = Drill({"a": 1.0, "b": FAILS, "c": 1.0}, comes={"c": 4.0})
    assert drill.round().counted.keys() == {"a", "c"}
    assert drill.now < 10
    assert drill.attempts[-1].failed == {"b": "EXECUTION_EXCEPTION"}


def test_a_site_that_comes_while_a_round_waits_is_asked_at_once():
    drill = Drill({"a": 1.0, "b": 50.0, "c": 1.0}, comes={"c": 4.0})
    assert drill.round().counted.keys() == {"a", "b", "c"}
    assert (drill.now, len(drill.attempts)) == (50.0, 1)


def test_a_site_that_lost_its_task_and_comes_back_is_asked_at_once():
    """FLARE drops the task of a site whose process has been dead for a minute; the round may need that site."""
    drill = Drill({"a": 1.0, "b": 50.0}, away={"b": (10.0, 100.0)})
    assert drill.round().counted.keys() == {"a", "b"}
    assert (drill.now, len(drill.attempts)) == (150.0, 1)
    assert drill.attempts[0].asked == ["a", "b"]


def test_nobody_is_asked_twice_while_at_work_and_who_is_counted_never_again():
    found = QuorumRound(0, RULE, AnswerTimes(), lambda: 0.0)
    assert found.advance({"a", "b"}, set(), {}).ask == ("a", "b")
    assert found.advance({"a", "b", "c"}, {"a", "b"}, {}).ask == ("c",)
    found.count("a", 10)
    found.fail("a", "a second answer does not undo the first")
    found.fail("b", "EXECUTION_EXCEPTION")
    step = found.advance({"a", "b", "c", "d"}, {"c"}, {})
    assert step.ask == ("b", "d")
    assert (found.counted, found.failed) == ({"a": 10}, {})


def test_while_nobody_is_there_a_round_waits():
    drill = Drill({"a": 1.0, "b": 1.0}, comes={"a": 100.0, "b": 100.0})
    assert drill.round().phase is Phase.CLOSED
    assert drill.now == 101.0


def test_a_round_that_is_closed_does_nothing_more():
    found = QuorumRound(0, RULE, AnswerTimes(), lambda: 7.0)
    found.advance({"a"}, set(), {})
    assert found.late_s is None
    found.close()
    assert not found.is_open
    assert found.advance({"a", "b"}, set(), {}).ask == ()
    assert found.late_s == 0.0


def longest(rounds: int) -> float:
    """What docs/reference/architecture.md promises, whatever sites do."""
    return rounds * RULE.longest_round_s


@pytest.mark.parametrize("behaviour", [NEVER, FAILS, LATE, 3599.0, 299.0])
def test_no_site_can_make_a_job_longer_than_the_documents_say(behaviour):
    rounds = 6
    drill = Drill({"a": 10.0, "b": 12.0, "bad": behaviour})
    for _ in range(rounds):
        if not drill.round().counted:
            break
    assert drill.now <= longest(rounds)
    if behaviour == NEVER:
        assert drill.now <= MOST_MISSED * RULE.longest_s + rounds * RULE.deadline_floor_s


def test_what_is_remembered_of_sites_is_what_was_kept_of_them():
    times = AnswerTimes({"a": [1.0, 9.0, 2.0]}, {"b": 1})
    times.missed_deadline("b")
    assert not times.is_waited_for("b")
    again = AnswerTimes(times.seconds, times.missed)
    assert (again.slowest(), again.missed) == ({"a": 9.0}, {"b": 2})
    for seconds in range(5):
        again.answered("a", float(seconds))
    assert again.slowest() == {"a": 4.0}  # of the last five


@pytest.mark.parametrize(
    ("answers", "missed", "silent"),
    [([], 0, False), ([], 1, True), ([3.0], 1, False), ([3.0], MOST_MISSED, True)],
)
def test_who_is_silent_at_the_end_of_the_rounds(answers, missed, silent):
    assert AnswerTimes({"a": answers}, {"a": missed} if missed else {}).silent() == (["a"] if silent else [])


def test_a_silent_site_that_answers_is_heard_again():
    times = AnswerTimes({}, {"a": MOST_MISSED})
    times.answered("a", 3.0)
    assert times.silent() == []
