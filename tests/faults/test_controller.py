"""The controller with FLARE's own communicator: who is waited for, what is kept, what a killed server goes on from."""

import threading
import time

import numpy as np
import pytest
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import make_reply
from nvflare.app_opt.pt.fedopt import PTFedOptModelShareableGenerator

from fedbrats.federation.answer_times import AnswerTimes
from fedbrats.flare.server.fedce import FedCE
from fedbrats.methods.contribution import ContributionFactor
from fedbrats.methods.fedavg import WeightedFedAvg
from tests.faults.catalogue import ENDED, SURVIVED, fault
from tests.flare.conftest import gated
from tests.flare.server import NO_ANSWER, Server, answer, honest, train

FIRST, SECOND, THIRD = (f"{n}a1b2c3d-4e5f-6789-abcd-ef0123456789" for n in "123")


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_a_job_runs_all_its_rounds_and_says_who_was_counted(tmp_path):
    server = Server(tmp_path, FIRST, rounds=3).run()
    assert server.room.said == []
    assert [row["round"] for row in server.rows("round")] == [0, 1, 2]
    for row in server.rows("participation"):
        assert (row["attempt"], row["counted"], row["lacks"], row["waiting"]) == (1, ["a", "b", "c"], None, [])


@fault(
    "answer after the deadline",
    injected="a site holds its answer back until the round is closed",
    detected="`participation` row `waiting`, `late` row with the seconds, server's log",
    outcome=f"{SURVIVED}: not counted and said so; the next deadline knows how slow the site is",
)
def test_a_site_past_the_deadline_is_late_by_a_number_and_heard_in_the_next_round(tmp_path):
    gate = threading.Event()

    def behave(server, site, number, weights):
        if site == "c" and number == 1:
            gate.wait(20)
        if number == 2 and site == "a":
            gate.set()
            time.sleep(0.5)  # the round stays open for the answer that is late
        return honest(server, site, number, weights)

    rule = {"deadline_floor_s": 2.0, "deadline_factor": 1.0, "first_deadline_s": 20.0}
    server = Server(tmp_path, FIRST, rounds=4, participation=rule, behaviour=behave).run()
    assert server.room.said == []
    first, second = server.rows("participation")[1:3]
    assert (first["round"], first["waiting"], first["counted"], first["lacks"]) == (1, ["c"], ["a", "b"], None)
    assert first["deadline_s"] == 2.0
    (late,) = server.rows("late")
    assert (late["site"], late["round"]) == ("c", 1)
    assert late["took_s"] > late["late_s"] > 0
    assert "c" in second["counted"]
    assert [row["silent"] for row in server.rows("round")] == [[], ["c"], [], []]
    assert server.rows("participation")[3]["deadline_s"] >= late["took_s"]  # the next deadline knows how slow it is


@fault(
    "round without enough cases",
    injected="the site with most of the cases fails in every attempt",
    detected="`participation` rows `lacks`, `refusal` rows `failed`",
    outcome=f"{ENDED}: after the attempts, in one sentence that names the site and how to go on; resumed to the end",
)
def test_a_round_that_lacks_cases_is_tried_again_and_then_ends_the_job_with_a_sentence(tmp_path):
    def behave(server, site, number, weights):
        update, score = train(site, number, weights)
        cases = {"a": 10, "b": 10, "c": 80}[site]
        if site == "c" and number == 1:
            return make_reply(ReturnCode.EXECUTION_EXCEPTION)
        return answer(update, score, number, cases)

    server = Server(tmp_path, FIRST, rounds=3, participation={"min_case_share": 0.5}, behaviour=behave).run()
    (said,) = server.room.said
    assert "round 1 cannot be closed: after 2 attempts the counted sites hold 20% of the cases" in said
    assert "c, EXECUTION_EXCEPTION" in said
    assert f"fedbrats submit --resume {FIRST}" in said
    assert [row["round"] for row in server.rows("round")] == [0]
    assert [row["attempt"] for row in server.rows("participation") if row["round"] == 1] == [1, 2]
    assert [(row["site"], row["reason"]) for row in server.rows("refusal")] == [("c", "failed")] * 2
    again = Server(tmp_path, SECOND, rounds=3, resume=[FIRST]).run()  # the hospital has seen to it
    assert again.room.said == []
    assert [row["round"] for row in again.rows("round")] == [0, 1, 2]


@fault(
    "site that fails once",
    injected="a site answers with an execution error",
    detected="`refusal` row `failed`",
    outcome=f"{SURVIVED}: asked again in the same round; the same bits as if nothing had happened",
)
def test_a_site_that_failed_is_asked_again_and_the_others_are_not(tmp_path):
    asked = []

    def behave(server, site, number, weights):
        asked.append((site, number))
        if site == "b" and number == 1 and asked.count(("b", 1)) == 1:
            return make_reply(ReturnCode.EXECUTION_EXCEPTION)
        return honest(server, site, number, weights)

    server = Server(tmp_path, FIRST, ("a", "b"), rounds=3, behaviour=behave).run()
    assert server.room.said == []
    assert asked.count(("b", 1)) == 2
    assert asked.count(("a", 1)) == 1
    undisturbed = Server(tmp_path, SECOND, ("a", "b"), rounds=3).run()
    assert same(server.weights, undisturbed.weights)


@fault(
    "site that appears while a round is open",
    injected="a third site asks for work in round 2",
    detected="`participation` row",
    outcome=f"{SURVIVED}: asked and counted in the same round",
)
def test_a_site_that_joins_takes_part_in_the_round_that_is_open(tmp_path):
    def behave(server, site, number, weights):
        if site == "a" and number == 2:
            if len(server.sites) == 2:
                server.sites = ("a", "b", "c")
                server.join("c")
            time.sleep(0.5)
        return honest(server, site, number, weights)

    server = Server(tmp_path, FIRST, ("a", "b"), rounds=4, behaviour=behave).run()
    assert [row["counted"] for row in server.rows("participation")] == [["a", "b"]] * 2 + [["a", "b", "c"]] * 2


@fault(
    "answers in another order",
    injected="sites answer in the opposite order",
    detected="nothing to detect",
    outcome=f"{SURVIVED}: model and memory are the same bits",
)
def test_the_order_of_arrival_does_not_change_a_bit(tmp_path):
    def behave(order):
        def late(server, site, number, weights):
            time.sleep(0.1 * order.index(site))
            return honest(server, site, number, weights)

        return late

    one, other = (
        Server(tmp_path, job_id, rounds=3, behaviour=behave(order)).run()
        for job_id, order in ((FIRST, "abc"), (SECOND, "cba"))
    )
    assert [row["site"] for row in one.rows("site")] != [row["site"] for row in other.rows("site")]
    assert same(one.weights, other.weights)
    assert one.controller.aggregator.get_persist_state(None) == other.controller.aggregator.get_persist_state(None)


PHASES = (
    "_round_started",
    "_before_train_task",
    "_after_contribution_accept",
    "_before_aggregation",
    "_before_save_model",
)
METHODS = {
    "contribution": lambda: {"aggregator": gated(ContributionFactor)},
    "fedce": lambda: {"aggregator": gated(FedCE)},
    "fedopt": lambda: {"aggregator": gated(WeightedFedAvg), "generator": fedopt()},
}


def fedopt():
    options = {"path": "torch.optim.SGD", "args": {"lr": 1.0, "momentum": 0.6}}
    return PTFedOptModelShareableGenerator(source_model="network", device="cpu", optimizer_args=options)


@fault(
    "state of the server thrown away in every phase",
    injected="the job's components are dropped at an event: round started, task sent, answer accepted, before "
    "aggregation, before saving",
    detected="`resume` rows",
    outcome=f"{SURVIVED}: resumed five times; model, best model, memory, server's optimiser and rows are the same "
    "bits, for the Contribution Factor, FedCE and FedOpt",
)
@pytest.mark.parametrize("method", METHODS)
def test_a_server_killed_in_every_phase_comes_to_the_same_bits(tmp_path, method):
    undisturbed = Server(tmp_path / "one", FIRST, rounds=6, rollback_drop=0.5, **METHODS[method]()).run()
    resume: list[str] = []
    for number, phase in enumerate(PHASES, 1):
        job_id = f"{number}f1b2c3d-4e5f-6789-abcd-ef0123456789"
        server = Server(tmp_path / "two", job_id, rounds=6, rollback_drop=0.5, resume=resume, **METHODS[method]())
        server.run(kill_at=(phase, number))
        assert [row["round"] for row in server.rows("round")] == list(range(number)), phase
        resume = [job_id, *resume]
    server = Server(tmp_path / "two", SECOND, rounds=6, rollback_drop=0.5, resume=resume, **METHODS[method]()).run()
    assert server.room.said == []
    assert [row["round"] for row in server.rows("round")] == list(range(6))
    assert [row["round"] for row in server.rows("resume")] == list(range(5))
    assert same(server.weights, undisturbed.weights)
    assert server.best == undisturbed.best
    memories = [each.controller.aggregator.get_persist_state(None) for each in (server, undisturbed)]
    assert memories[0] == memories[1]
    assert key(server, "metrics") == key(undisturbed, "metrics")
    assert key(server, "weight") == key(undisturbed, "weight")


def key(server, kind):
    return sorted(map(str, server.rows(kind)))


def test_a_job_resumed_after_its_last_round_has_the_final_model_to_evaluate(tmp_path):
    """The server was killed in the final evaluation: no round is left that would write the model."""
    first = Server(tmp_path, FIRST, rounds=2).run()
    again = Server(tmp_path, SECOND, rounds=2, resume=[FIRST]).run()
    assert not again.room.said
    assert again.final == first.final


@fault(
    "resumed job dies before its first round",
    injected="a job that was resumed is dropped before it finishes a round",
    detected="`resume` row",
    outcome=f"{SURVIVED}: the third job goes on from where the first was",
)
def test_a_job_resumed_before_it_finished_a_round_of_its_own_goes_on_from_the_first(tmp_path):
    Server(tmp_path, FIRST, rounds=4).run(kill_at=("_round_started", 2))
    Server(tmp_path, SECOND, rounds=4, resume=[FIRST]).run(kill_at=("_round_started", 2))
    server = Server(tmp_path, THIRD, rounds=4, resume=[SECOND, FIRST]).run()
    assert [row["round"] for row in server.rows("round")] == [0, 1, 2, 3]


@fault(
    "corrupt state of the server",
    injected="the newest state is cut short; then all are emptied",
    detected="server's log, one sentence that names the file",
    outcome=f"{SURVIVED}: goes on from the round before, to the same bits; where none can be read, ends loudly",
)
def test_a_corrupt_state_is_said_and_the_round_before_it_is_taken(tmp_path, caplog):
    undisturbed = Server(tmp_path / "one", FIRST, rounds=4).run()
    Server(tmp_path, FIRST, rounds=4).run(kill_at=("_round_started", 3))
    newest = max((tmp_path / "state" / FIRST).iterdir())
    newest.write_bytes(newest.read_bytes()[:-2000])
    server = Server(tmp_path, SECOND, rounds=4, resume=[FIRST]).run()
    assert f"{newest} cannot be read" in caplog.text
    assert same(server.weights, undisturbed.weights)
    for path in (tmp_path / "state" / FIRST).iterdir():
        path.write_bytes(b"")
    (said,) = Server(tmp_path, THIRD, rounds=4, resume=[FIRST]).run().room.said
    assert "restore the folder" in said


@fault(
    "no state to resume from",
    injected="a job is resumed that this server never ran",
    detected="the job's error",
    outcome=f"{ENDED}: one sentence that says where it looked and what to do",
)
def test_what_cannot_be_resumed_is_said_in_one_sentence(tmp_path):
    (said,) = Server(tmp_path, SECOND, resume=[FIRST]).run().room.said
    assert said.startswith(f"this server has no state of job {FIRST}")


@fault(
    "state of the server cannot be written",
    injected="writing the state raises `No space left on device`",
    detected="`trouble` row, error in the server's log",
    outcome=f"{SURVIVED}: the job goes on, and says that a server killed now repeats the round",
)
def test_a_state_that_cannot_be_written_is_said_and_the_job_goes_on(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fedbrats.flare.server.workflow.save_state", full)
    server = Server(tmp_path, FIRST, rounds=2).run()
    assert server.room.said == []
    assert [row["round"] for row in server.rows("trouble")] == [0, 1]
    assert "No space left on device" in server.rows("trouble")[0]["message"]


@fault(
    "global model that got worse",
    injected="updates of one round spoil the model; the sites' Dice falls by 0.5",
    detected="`rollback` row, server's log",
    outcome=f"{SURVIVED}: with `rollback_drop`, the next round begins with the last good model, bit for bit",
)
def test_a_model_that_got_worse_is_given_up_for_the_last_good_one(tmp_path):
    def behave(server, site, number, weights):
        update, _ = train(site, number, weights)
        if number == 2:  # what the sites send in round 2 spoils the model that round 3 begins with
            update = {name: 100 * value for name, value in update.items()}
        return answer(update, {3: 0.2}.get(number, 0.7), number)

    seen = {}

    def watch(server, site, number, weights):
        seen[number] = {name: np.array(value) for name, value in weights.items()}
        return behave(server, site, number, weights)

    server = Server(
        tmp_path, FIRST, rounds=6, rollback_drop=0.2, behaviour=watch, aggregator=gated(WeightedFedAvg)
    ).run()
    (row,) = server.rows("rollback")
    assert (row["round"], row["to_round"]) == (3, 2)
    assert row["drop"] == pytest.approx(0.5)
    assert same(seen[4], seen[2])
    assert not same(seen[3], seen[2])
    off = Server(tmp_path, SECOND, rounds=6, behaviour=watch, aggregator=gated(WeightedFedAvg)).run()
    assert off.rows("rollback") == []


@fault(
    "site that never answers",
    injected="a site takes its task in every round and answers none",
    detected="`participation` rows `waiting`, then `not_waited_for`; server's log",
    outcome=f"{SURVIVED}: two rounds wait for it until their deadline, the others close without it at once",
)
def test_a_site_that_never_answers_is_waited_for_twice(tmp_path):
    def behave(server, site, number, weights):
        if site == "c" and number < 4:
            return NO_ANSWER
        if number == 4 and site == "a":
            time.sleep(0.5)  # the round stays open for the site that is not waited for
        return honest(server, site, number, weights)

    rule = {"first_deadline_s": 0.6, "deadline_floor_s": 0.6}
    server = Server(tmp_path, FIRST, rounds=6, participation=rule, behaviour=behave).run()
    assert server.room.said == []
    rows = server.rows("participation")
    assert [row["waiting"] for row in rows] == [["c"]] * 4 + [[], []]
    assert [row["not_waited_for"] for row in rows] == [[], [], ["c"], ["c"], [], []]
    assert all("c" in row["asked"] for row in rows)
    assert all(row["seconds"] >= 0.6 for row in rows[:2])
    assert [row["counted"] for row in rows[4:]] == [["a", "b", "c"]] * 2


def test_a_broken_register_of_cases_ends_the_job_before_its_first_round(tmp_path):
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "fedbrats.json").write_text('{"registered_cases": {"a": 10, "b": 10, "c": "many"}}')
    server = Server(tmp_path, FIRST).run()
    (said,) = server.room.said
    assert "site c needs a whole number from 1" in said
    assert str(tmp_path / "local" / "fedbrats.json") in said
    assert server.rows("site") == server.rows("round") == []


def failing(then, in_s=0.3):
    """Site b fails in round 1 whenever it is asked; a moment after the first time, `then` happens to the server."""
    asked = []

    def behave(server, site, number, weights):
        if (site, number) != ("b", 1):
            return honest(server, site, number, weights)
        asked.append(time.monotonic())
        if len(asked) == 1:
            threading.Timer(in_s, then, [server]).start()
        return make_reply(ReturnCode.EXECUTION_EXCEPTION)

    return behave, asked


def test_a_site_that_fails_at_once_is_asked_again_after_a_pause_that_is_said(tmp_path, caplog):
    behave, asked = failing(lambda server: None)
    rule = {"deadline_floor_s": 1.0}
    server = Server(tmp_path, FIRST, ("a", "b"), rounds=2, participation=rule, behaviour=behave).run()
    assert len(asked) == 2
    assert asked[1] - asked[0] >= 1.0
    assert caplog.text.count("round 1: b will be asked again in 1 s") == 1  # there is none after the last attempt
    assert "after 2 attempts" in server.room.said[0]


def test_a_job_that_is_aborted_ends_in_the_middle_of_a_pause(tmp_path):
    behave, asked = failing(lambda server: server.room.abort_signal.trigger(True))
    rule = {"deadline_floor_s": 60.0, "first_deadline_s": 60.0}
    server = Server(tmp_path, FIRST, ("a", "b"), rounds=2, participation=rule, behaviour=behave).run()
    assert time.monotonic() - asked[0] < 5
    assert (len(asked), server.room.said) == (1, [])


def test_a_site_that_comes_in_a_pause_is_asked_at_once(tmp_path):
    def come(server):
        server.sites = ("a", "b", "c")
        server.join("c")

    behave, asked = failing(come)
    rule = {"deadline_floor_s": 60.0, "first_deadline_s": 60.0}
    server = Server(tmp_path, FIRST, ("a", "b"), rounds=2, participation=rule, behaviour=behave).run()
    assert asked[1] - asked[0] < 5
    assert server.room.said == []
    assert server.rows("participation")[-1]["counted"] == ["a", "c"]


def test_what_answers_change_is_read_under_their_lock(tmp_path):
    """A late answer comes in a thread of its own; what it adds to must not be walked through meanwhile."""

    class Watched(AnswerTimes):
        def __getattribute__(self, name):
            assert server.controller._lock.locked()
            return super().__getattribute__(name)

    server = Server(tmp_path, FIRST, rounds=2)
    server.controller._times = Watched()
    server.run()
    assert server.room.said == []
    assert [row["round"] for row in server.rows("round")] == [0, 1]
