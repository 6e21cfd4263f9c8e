"""Sites and people that say what is not so: in another's name, of impossible numbers, of another's job."""

import json
import time

import numpy as np
import pytest
from nvflare.apis.dxo import MetaKey, from_shareable

from fedbrats.flare.protocol import REPORT_KEY
from fedbrats.flare.server.gated_aggregator import GatedAggregator
from fedbrats.methods.fedavg import WeightedFedAvg
from fedbrats.rows import summarise_rows
from tests.faults.catalogue import ENDED, SURVIVED, fault
from tests.faults.test_controller import FIRST, SECOND, same
from tests.flare.conftest import gated
from tests.flare.server import Server, answer, honest, train


def without(tmp_path, *sites, **options):
    """The same job among honest sites alone."""
    return Server(tmp_path / "honest", FIRST, sites, aggregator=gated(WeightedFedAvg), **options).run()


@fault(
    "answer in another site's name",
    injected="a site answers with the name of another in its message; its token is its own",
    detected="`refusal` row `identity` with both names, error in the server's log",
    outcome=f"{SURVIVED}: not counted; the other site's own answer is",
)
def test_a_site_cannot_answer_for_another(tmp_path):
    rule = {"min_clients": 2}
    server = Server(tmp_path, FIRST, rounds=2, aggregator=gated(WeightedFedAvg), participation=rule)
    server.names = {"c": "a"}
    server.run()
    assert {(row["site"], row["reason"]) for row in server.rows("refusal")} == {("c", "identity")}
    assert "in the name of a" in server.rows("refusal")[0]["message"]
    assert all(row["counted"] == ["a", "b"] for row in server.rows("participation"))
    assert same(server.weights, without(tmp_path, "a", "b", rounds=2).weights)


def test_a_round_that_lacks_the_liar_ends_at_once_with_its_name(tmp_path):
    rule = {"min_clients": 3, "attempts": 2, "first_deadline_s": 60.0}
    server = Server(tmp_path, FIRST, rounds=1, aggregator=gated(WeightedFedAvg), participation=rule)
    server.names = {"c": "a"}
    began = time.monotonic()
    (said,) = server.run().room.said
    assert "failed: c, identity" in said
    assert time.monotonic() - began < 30


def lying(change):
    """Site c lies in every round; `change` spoils its answer."""

    def behave(server, site, number, weights):
        reply = honest(server, site, number, weights)
        return change(reply, number) if site == "c" else reply

    return behave


@fault(
    "lie about the model's Dice and the steps behind it",
    injected="a site says Dice 1 from 1e12 steps, Dice 1e308, or steps that are no number, in every round",
    detected="nothing to detect: the server takes Dice from 0 to 1 and weighs it by registered cases",
    outcome=f"{SURVIVED}: the choice of the best model and the server's state are those of its cases",
)
@pytest.mark.parametrize(
    ("dice", "steps"), [(1.0, 1e12), (1e308, 10**10), (0.5, float("nan"))], ids=["steps", "dice", "nan"]
)
def test_a_site_does_not_choose_the_best_model_alone(tmp_path, dice, steps):
    def change(reply, number):
        meta = reply_meta(reply)
        meta[MetaKey.INITIAL_METRICS] = {"val_dice": dice}
        meta[MetaKey.NUM_STEPS_CURRENT_ROUND] = steps
        return reply

    server = Server(tmp_path, FIRST, rounds=3, aggregator=gated(WeightedFedAvg), behaviour=lying(change)).run()
    assert server.room.said == []
    assert not server.rows("trouble")
    assert server.best == without(tmp_path, "a", "b", "c", rounds=3).best


@fault(
    "two answers to one round",
    injected="a site answers a round a second time, under a task of its own invention",
    detected="`refusal` row `duplicate`",
    outcome=f"{SURVIVED}: the first counts, also in the choice of the best model",
)
def test_a_second_answer_has_no_second_vote(tmp_path):
    """Site c is for round 1, the others are for round 2: four votes of one site would turn the choice."""
    said = {"c": {1: 0.6, 2: 0.5}}

    def behave(votes):
        def voting(server, site, number, weights):
            update, _ = train(site, number, weights)
            score = said.get(site, {1: 0.5, 2: 0.6}).get(number, 0.5)
            for vote in range(votes - 1 if site == "c" else 0):
                server.submit(site, f"invented {vote}", answer(update, score, number))
            return answer(update, score, number)

        return voting

    one, four = (
        Server(tmp_path / str(votes), FIRST, rounds=3, aggregator=gated(WeightedFedAvg), behaviour=behave(votes)).run()
        for votes in (1, 4)
    )
    assert one.room.said == four.room.said == []
    assert {row["reason"] for row in four.rows("refusal")} == {"duplicate"}
    assert [row["counted"] for row in four.rows("participation")] == [["a", "b", "c"]] * 3
    assert four.best == one.best


@fault(
    "report that cannot be read",
    injected="an array stands where a report says a word; then whatever makes taking in an answer raise",
    detected="nothing to detect; then a `refusal` row `unreadable`",
    outcome=f"{SURVIVED}: FLARE would give up the round for every site; here it is one site's affair",
)
def test_no_report_gives_up_the_round_of_all(tmp_path):
    def change(reply, number):
        reply_meta(reply)[REPORT_KEY] |= {"begins": np.array([1.0, 2.0]), "loss": 10**400, "seconds": [1], "steps": {}}
        return reply

    server = Server(tmp_path, FIRST, rounds=2, aggregator=gated(WeightedFedAvg), behaviour=lying(change)).run()
    assert server.room.said == []
    assert [row["counted"] for row in server.rows("participation")] == [["a", "b", "c"]] * 2


class Stumbling(GatedAggregator):
    """Raises at the answers of one site, as code that meets what nobody thought of."""

    def accept(self, shareable, fl_ctx):
        if fl_ctx.get_peer_context().get_identity_name() == "c":
            raise RuntimeError("nobody thought of this")
        return super().accept(shareable, fl_ctx)


def test_an_answer_that_makes_us_raise_is_refused_and_the_others_count(tmp_path):
    server = Server(tmp_path, FIRST, rounds=2, aggregator=Stumbling(WeightedFedAvg())).run()
    assert server.room.said == []
    assert {(row["site"], row["reason"]) for row in server.rows("refusal")} == {("c", "unreadable")}
    assert "nobody thought of this" in server.rows("refusal")[0]["message"]
    assert all(row["counted"] == ["a", "b"] for row in server.rows("participation"))


@fault(
    "report with what is not its own",
    injected="a report with another site's name, another kind of row, texts of megabytes, Dice 7 and no case behind it",
    detected="nothing to detect: a row takes known entries of known types",
    outcome=f"{SURVIVED}: its update counts by its cases; its row says what is known, nobody else's changes",
)
def test_a_report_says_nothing_of_others(tmp_path):
    def change(reply, number):
        report = reply_meta(reply)[REPORT_KEY]
        seven = dict.fromkeys(("mean", "WT", "TC", "ET"), 7.0)
        report |= {"kind": "metrics", "site": "a", "round": "x", "accepted": False, "version": "v" * 10**6}
        report |= {"received": {"dice": seven, "iou": seven}, "extra": "e" * 10**6}
        return reply

    server = Server(tmp_path, FIRST, rounds=2, aggregator=gated(WeightedFedAvg), behaviour=lying(change)).run()
    assert server.room.said == []
    rows = [row for kind in ("metrics", "site", "round") for row in server.rows(kind)]
    assert {row["round"] for row in rows} == {0, 1}
    assert max(len(json.dumps(row)) for row in rows) < 2000
    assert all(row["accepted"] for row in server.rows("site") if row["site"] == "c")
    received = [row for row in server.rows("metrics") if row["site"] == "c" and row["stage"] == "received"]
    assert all(row["dice"] is None for row in received)
    summarise_rows(rows)


@fault(
    "numbers of a kind that JSON does not know",
    injected="the number of cases is a numpy integer",
    detected="nothing to detect",
    outcome=f"{SURVIVED}: it is counted, and the state is kept",
)
def test_numpy_cases_are_cases(tmp_path):
    def change(reply, number):
        reply_meta(reply)[REPORT_KEY]["training_cases"] = np.int64(10)
        return reply

    server = Server(tmp_path, FIRST, rounds=2, aggregator=gated(WeightedFedAvg), behaviour=lying(change)).run()
    assert server.room.said == []
    assert not server.rows("trouble")
    assert same(server.weights, without(tmp_path, "a", "b", "c", rounds=2).weights)


@fault(
    "update of another kind of number",
    injected="the first site sends float64, or float16, where the model is float32",
    detected="nothing to detect: an update is taken in the model's own kind",
    outcome=f"{SURVIVED}: the model keeps its kind of number",
)
@pytest.mark.parametrize("kind", [np.float64, np.float16, np.longdouble])
def test_no_site_decides_the_models_kind_of_number(tmp_path, kind):
    def behave(server, site, number, weights):
        update, score = train(site, number, weights)
        if site == "a":
            update = {name: value.astype(kind) for name, value in update.items()}
        return answer(update, score, number)

    server = Server(tmp_path, FIRST, rounds=2, aggregator=gated(WeightedFedAvg), behaviour=behave).run()
    assert server.room.said == []
    assert {value.dtype for value in server.weights.values()} == {np.dtype(np.float32)}


@fault(
    "resuming somebody else's job",
    injected="a lead submits a job that goes on from another lead's, whose id everybody sees",
    detected="the job's error names whose it is",
    outcome=f"{ENDED}: nothing of the other job is read; a project admin may",
)
def test_only_its_submitter_or_a_project_admin_goes_on_from_a_job(tmp_path):
    one, other = ({"submitter_name": name, "submitter_role": "lead"} for name in ("ada@x.example", "bo@y.example"))
    Server(tmp_path, FIRST, rounds=2, meta=one).run()
    (said,) = Server(tmp_path, SECOND, rounds=3, meta=other, resume=[FIRST]).run().room.said
    assert "submitted by ada@x.example" in said
    for meta in (one, {**other, "submitter_role": "project_admin"}):
        again = Server(tmp_path / meta["submitter_role"], SECOND, rounds=3, meta=meta, resume=[FIRST])
        (tmp_path / "state").exists() and link(tmp_path / "state", tmp_path / meta["submitter_role"] / "state")
        assert again.run().room.said == []


def link(state, target):
    """The same state in another kit."""
    target.symlink_to(state)


def reply_meta(reply):
    """The meta of an answer, as it stands in FLARE's message."""
    return from_shareable(reply).meta
