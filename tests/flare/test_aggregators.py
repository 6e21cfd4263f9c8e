"""Aggregators as FLARE drives them: gates, weights, rows, memory."""

import json

import numpy as np
import pytest

from fedbrats.errors import ConfigurationError
from fedbrats.federation.leave_one_out import leave_out, own_weight
from fedbrats.federation.updates import norm, scale
from fedbrats.flare.protocol import FEDCE_WEIGHTS
from fedbrats.flare.server.fedce import FedCE
from fedbrats.methods.contribution import ContributionFactor
from fedbrats.methods.fedavg import WeightedFedAvg
from fedbrats.methods.robust_means import CoordinateMedian, TrimmedMean
from tests.flare.conftest import gated

CASES = (("a", 36), ("b", 4))
AGGREGATORS = [WeightedFedAvg, CoordinateMedian, TrimmedMean, ContributionFactor, FedCE]


def test_fedavg_weighs_by_cases_and_records_it(new_federation):
    federation = new_federation(gated(WeightedFedAvg))
    one, two = federation.random_update(1), federation.random_update(2)
    answers = {"a": federation.answer("a", 0, one, cases=30), "b": federation.answer("b", 0, two, cases=10)}
    accepted, result = federation.round(0, answers)
    assert accepted == {"a": True, "b": True}
    for name, value in result.data.items():
        np.testing.assert_allclose(value, 0.75 * one[name] + 0.25 * two[name], rtol=1e-5, atol=1e-9)
    assert {row["site"]: row["weight"] for row in federation.rows("weight")} == {"a": 0.75, "b": 0.25}


def test_weight_power_makes_sites_of_few_cases_count_for_more(new_federation):
    federation = new_federation(gated(WeightedFedAvg, weight_power=0.5))
    answers = {site: federation.answer(site, 0, federation.random_update(ord(site)), cases=n) for site, n in CASES}
    federation.round(0, answers)
    assert {row["site"]: row["weight"] for row in federation.rows("weight")} == {"a": 0.75, "b": 0.25}


@pytest.mark.parametrize("kind", AGGREGATORS)
def test_no_aggregator_counts_an_update_for_longer_than_twice_the_median(kind, new_federation):
    results = []
    for length, multiple in ((2.0, 2.0), (100.0, 2.0), (100.0, 0.0)):
        federation = new_federation(gated(kind, clip_multiple=multiple), folder=f"server-{length}-{multiple}")
        updates = {site: federation.random_update(ord(site)) for site in "abc"}
        updates = {
            site: scale(update, (length if site == "c" else 1.0) / norm(update)) for site, update in updates.items()
        }
        answers = {site: federation.answer(site, 0, update) for site, update in updates.items()}
        results.append(norm(federation.round(0, answers)[1].data))
    assert results[1] == pytest.approx(results[0], rel=1e-5)
    assert results[2] > results[1] or kind in (CoordinateMedian, TrimmedMean)


@pytest.mark.parametrize("kind", AGGREGATORS)
def test_the_order_of_arrival_changes_no_bit(kind, new_federation):
    results = []
    for order in (("a", "b", "c"), ("c", "a", "b")):
        federation = new_federation(gated(kind), folder=f"server-{order[0]}")
        for round_number in range(3):
            updates = {site: federation.random_update(10 * round_number + ord(site)) for site in "abc"}
            answers = {site: federation.answer(site, round_number, updates[site], cases=ord(site)) for site in order}
            _, result = federation.round(round_number, answers)
        results.append(result.data)
    assert all(np.array_equal(results[0][name], results[1][name]) for name in results[0])


@pytest.mark.parametrize("kind", AGGREGATORS)
def test_a_round_that_waits_on_the_disk_comes_to_the_same_bits(kind, new_federation):
    results = []
    for memory_mb in (1024, 0):
        federation = new_federation(gated(kind, memory_mb=memory_mb), folder=f"server-{memory_mb}")
        updates = {site: federation.random_update(ord(site)) for site in "abc"}
        answers = {site: federation.answer(site, 0, updates[site], cases=ord(site)) for site in "abc"}
        results.append(federation.round(0, answers)[1].data)
    assert all(np.array_equal(results[0][name], results[1][name]) for name in results[0])


def test_a_round_that_the_disk_does_not_take_waits_in_memory(new_federation, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fedbrats.federation.spool._write", full)
    federation = new_federation(gated(WeightedFedAvg, memory_mb=0))
    update = federation.random_update(1)
    accepted, result = federation.round(0, {"a": federation.answer("a", 0, update)})
    assert accepted == {"a": True}
    np.testing.assert_allclose(result.data[min(update)], update[min(update)], rtol=1e-6)
    assert "stays in memory" in caplog.text


def test_in_a_personal_round_nothing_is_combined_and_weights_that_come_all_the_same_are_refused(new_federation):
    federation = new_federation(gated(ContributionFactor, personal_rounds=1))
    federation.total_rounds = 2
    update = federation.random_update(1)
    assert federation.round(0, {"a": federation.answer("a", 0, update)})[1].data
    answers = {"a": federation.answer("a", 1, {}), "b": federation.answer("b", 1, update)}
    accepted, result = federation.round(1, answers)
    assert accepted == {"a": True, "b": False}
    assert result.data == {}
    assert [row["reason"] for row in federation.rows("refusal")] == ["names"]


def _nan(update):
    name = min(update)
    return {**update, name: np.full_like(update[name], np.nan)}


REFUSALS = {
    "not_finite": lambda f, u: f.answer("bad", 0, _nan(u)),
    "names": lambda f, u: f.answer("bad", 0, {name: u[name] for name in list(u)[1:]}),
    "shape": lambda f, u: f.answer("bad", 0, {name: value[None] for name, value in u.items()}),
    "dtype": lambda f, u: f.answer("bad", 0, {name: value.astype(np.int32) for name, value in u.items()}),
    "zero": lambda f, u: f.answer("bad", 0, {name: 0 * value for name, value in u.items()}),
    "cases": lambda f, u: f.answer("bad", 0, u, cases=-5),
    "round": lambda f, u: f.answer("bad", 7, u),
}


@pytest.mark.parametrize("reason", REFUSALS)
@pytest.mark.parametrize("kind", AGGREGATORS)
def test_a_refused_site_leaves_the_round_as_if_it_were_not_there(kind, reason, new_federation):
    with_bad, without = new_federation(gated(kind), "with"), new_federation(gated(kind), "without")
    good = {site: with_bad.answer(site, 0, with_bad.random_update(ord(site))) for site in "abc"}
    bad = REFUSALS[reason](with_bad, with_bad.random_update(9))
    accepted, result = with_bad.round(0, {"bad": bad, **good})
    _, expected = without.round(0, good)
    assert accepted == {"bad": False, "a": True, "b": True, "c": True}
    assert all(np.array_equal(result.data[name], expected.data[name]) for name in expected.data)
    (row,) = with_bad.rows("refusal")
    assert (row["site"], row["reason"], row["round"]) == ("bad", reason, 0)
    assert "bad" in row["message"]


def test_a_second_answer_and_an_unreadable_one_are_refused(new_federation):
    from nvflare.apis.shareable import Shareable

    federation = new_federation(gated(WeightedFedAvg))
    update = federation.random_update(1)
    answer = federation.answer("a", 0, update)
    with federation.room.new_context():
        accepted, _ = federation.round(0, {"a": answer, "b": Shareable()})
    assert accepted == {"a": True, "b": False}
    assert federation.rows("refusal")[0]["reason"] == "unreadable"


@pytest.mark.parametrize("kind", AGGREGATORS)
def test_a_round_without_an_accepted_update_keeps_the_model(kind, new_federation):
    federation = new_federation(gated(kind))
    _, result = federation.round(0, {"a": federation.answer("a", 0, federation.random_update(1), cases=0)})
    assert result.data == {}


@pytest.mark.parametrize("kind", AGGREGATORS)
def test_one_site_alone_gets_its_own_update(kind, new_federation):
    federation = new_federation(gated(kind))
    update = federation.random_update(1)
    _, result = federation.round(0, {"a": federation.answer("a", 0, update)})
    for name in update:
        np.testing.assert_allclose(result.data[name], update[name], rtol=1e-6)


def test_personal_names_must_not_arrive_and_the_shared_ones_must(new_federation):
    federation = new_federation(gated(WeightedFedAvg, personal="head"))
    update = federation.random_update(1)
    personal = set(federation.network.personal_names("head"))
    shared = {name: value for name, value in update.items() if name not in personal}
    accepted, result = federation.round(
        0, {"leaky": federation.answer("leaky", 0, update), "a": federation.answer("a", 0, shared)}
    )
    assert accepted == {"leaky": False, "a": True}
    assert set(result.data) == set(shared)


def test_local_only_shares_nothing_and_that_is_accepted(new_federation):
    federation = new_federation(gated(WeightedFedAvg, personal="all"))
    accepted, result = federation.round(0, {"a": federation.answer("a", 0, {}), "b": federation.answer("b", 0, {})})
    assert accepted == {"a": True, "b": True}
    assert result.data == {}


def test_more_cases_than_registered_are_refused(new_federation, tmp_path):
    (tmp_path / "server" / "local").mkdir(parents=True)
    (tmp_path / "server" / "local" / "fedbrats.json").write_text(json.dumps({"registered_cases": {"a": 10, "b": 10}}))
    federation = new_federation(gated(WeightedFedAvg))
    answers = {
        site: federation.answer(site, 0, federation.random_update(1), cases=n) for site, n in (("a", 10), ("b", 11))
    }
    accepted, _ = federation.round(0, answers)
    assert accepted == {"a": True, "b": False}
    assert federation.rows("refusal")[0]["reason"] == "too_many_cases"


BROKEN_REGISTERS = {
    "cut short": '{"registered_cases": {"a": 10',
    "a list": '{"registered_cases": ["a", "b"]}',
    "no limit": '{"registered_cases": {"a": 10, "b": null}}',
    "a text": '{"registered_cases": {"a": 10, "b": "10"}}',
    "no cases": '{"registered_cases": {"a": 10, "b": 0}}',
}


@pytest.mark.parametrize("written", BROKEN_REGISTERS.values(), ids=BROKEN_REGISTERS)
def test_a_broken_register_is_not_taken_for_none(new_federation, tmp_path, written):
    (tmp_path / "server" / "local").mkdir(parents=True)
    (tmp_path / "server" / "local" / "fedbrats.json").write_text(written)
    federation = new_federation(gated(WeightedFedAvg))
    with pytest.raises(ConfigurationError, match="registered_cases"):
        federation.aggregator.check_register()
    accepted, _ = federation.round(0, {"a": federation.answer("a", 0, federation.random_update(1))})
    assert accepted == {"a": False}


def test_a_server_without_a_register_says_so_and_goes_on(new_federation, caplog):
    federation = new_federation(gated(WeightedFedAvg))
    federation.aggregator.check_register()
    assert "no register of cases on this server" in caplog.text


def test_the_factors_memory_survives_a_restart_of_the_server(new_federation):
    through, restarted = (
        new_federation(gated(ContributionFactor), "through"),
        new_federation(gated(ContributionFactor), "restarted"),
    )
    for round_number in range(6):
        if round_number == 3:
            memory = json.loads(
                json.dumps(restarted.aggregator.get_persist_state(None))
            )  # as the server's state holds it
            restarted = new_federation(gated(ContributionFactor), "restarted")
            restarted.aggregator.restore(memory, None)
        updates = {site: through.random_update(10 * round_number + i) for i, site in enumerate("abcd")}
        results = []
        for federation in (through, restarted):
            answers = {
                site: federation.answer(site, round_number, updates[site], gain=0.02 * i)
                for i, site in enumerate("abcd")
            }
            results.append(federation.round(round_number, answers)[1].data)
        assert all(np.array_equal(results[0][name], results[1][name]) for name in results[0])
    assert through.aggregator.get_persist_state(None) == restarted.aggregator.get_persist_state(None)


def test_flares_persist_hooks_carry_the_memory(new_federation):
    one = new_federation(gated(ContributionFactor), "one")
    for round_number in range(3):
        one.round(round_number, {s: one.answer(s, round_number, one.random_update(ord(s)), gain=0.1) for s in "abc"})
    two = gated(ContributionFactor)
    two.restore(one.aggregator.get_persist_state(None), None)
    assert two.get_persist_state(None) == one.aggregator.get_persist_state(None)


def test_the_factor_records_why_a_site_weighs_what_it_weighs(new_federation):
    federation = new_federation(gated(ContributionFactor))
    federation.round(0, {s: federation.answer(s, 0, federation.random_update(ord(s)), gain=0.1) for s in "abc"})
    columns = {
        "prior",
        "alignment",
        "coherence",
        "relative_length",
        "usefulness",
        "factor",
        "weight",
        "clipped",
        "quarantined",
        "reason",
    }
    for row in federation.rows("weight"):
        assert columns <= set(row)
    assert sum(row["weight"] for row in federation.rows("weight")) == pytest.approx(1)


def test_a_sites_own_numbers_never_travel_to_other_sites(new_federation):
    """What goes out with the next task is the aggregated DXO: names of sites and factors are not in it."""
    federation = new_federation(gated(ContributionFactor))
    _, result = federation.round(0, {s: federation.answer(s, 0, federation.random_update(ord(s))) for s in "abc"})
    assert set(result.get_meta_props() or {}) == set()


def test_fedce_sends_its_weights_and_rewards_the_minus_score(new_federation):
    federation = new_federation(gated(FedCE))
    for round_number in range(2):
        answers = {
            site: federation.answer(site, round_number, federation.random_update(ord(site)), minus_score=score)
            for site, score in (("a", 0.9), ("b", 0.1), ("c", 0.1))
        }
        _, result = federation.round(round_number, answers)
    weights = result.get_meta_prop(FEDCE_WEIGHTS)
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["a"] == max(weights.values())
    assert own_weight(weights, "a") == weights["a"]
    assert own_weight(None, "a") is None


def test_leaving_a_site_out_of_a_mean_gives_the_mean_of_the_others():
    own, others = {"w": np.array([4.0])}, np.array([1.0])
    received = {"w": 0.25 * own["w"] + 0.75 * others}
    np.testing.assert_allclose(leave_out(received, own, 0.25)["w"], others)
