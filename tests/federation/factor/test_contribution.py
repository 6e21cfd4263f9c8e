"""The properties that bind the Contribution Factor, whatever its constants are."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fedbrats.federation import updates as algebra
from fedbrats.federation.factor.contribution import Memory, weigh
from fedbrats.federation.gates import (
    Contribution,
    Expectation,
    check,
    clip_to_median,
)
from tests.federation.strategies import SETTINGS, SHAPES, Round, add, change, federations, of_site, play, random_update

MANY = federations(min_sites=3)


@given(federations())
def test_weights_are_not_negative_and_sum_to_one(rounds: list[Round]) -> None:
    for weights in play(rounds).weights:
        assert all(weight >= 0.0 for weight in weights.values())
        assert sum(weights.values()) == pytest.approx(1.0, abs=1e-12)


@given(federations(), st.randoms())
def test_the_order_of_arrival_changes_no_bit(rounds: list[Round], random) -> None:
    shuffled = [random.sample(answers, len(answers)) for answers in rounds]
    assert play(shuffled) == play(rounds)
    assert play(shuffled).memory.to_bytes() == play(rounds).memory.to_bytes()


@given(federations(), st.permutations(range(6)))
def test_names_do_not_matter(rounds: list[Round], order: list[int]) -> None:
    names = {f"site-{i}": f"site-{order[i]}" for i in range(6)}
    renamed = play([[replace(each, site=names[each.site]) for each in answers] for answers in rounds])
    for weights, others in zip(play(rounds).weights, renamed.weights, strict=True):
        assert {names[site]: weight for site, weight in weights.items()} == pytest.approx(others, abs=1e-6)


@given(MANY, st.integers(-12, 12))
def test_scaling_ones_update_does_not_change_ones_factor(rounds: list[Round], exponent: int) -> None:
    scaled = change(rounds, "site-1", update=lambda update: algebra.scale(update, 2.0**exponent))
    as_scaled, as_sent = play(scaled), play(rounds)
    assert as_scaled.weights == as_sent.weights
    assert as_scaled.traces == as_sent.traces


@given(MANY, st.floats(0.01, 100.0))
def test_nor_does_clipping(rounds: list[Round], k: float) -> None:
    scaled = change(rounds, "site-1", update=lambda update: algebra.scale(update, k))
    clipped = play([clip_to_median(answers)[0] for answers in scaled])
    for trace, other in zip(of_site(play(rounds), "site-1"), of_site(clipped, "site-1"), strict=True):
        assert trace.factor == pytest.approx(other.factor, rel=1e-3)


@given(MANY)
def test_equal_sites_get_equal_weight(rounds: list[Round]) -> None:
    twins = [[*answers, replace(answers[0], site="twin")] for answers in rounds]
    for weights in play(twins).weights:
        assert weights["site-0"] == pytest.approx(weights["twin"], abs=1e-9)


BAD_UPDATES = {
    "NaN": lambda update: {**update, "body.bias": np.full(3, np.nan, np.float32)},
    "zero": lambda update: algebra.scale(update, 0.0),
    "names": lambda update: {"body.bias": update["body.bias"]},
    "shape": lambda update: {**update, "body.bias": np.ones(4, np.float32)},
}


@given(MANY, st.sampled_from(sorted(BAD_UPDATES)), st.integers(0, 5))
def test_a_refused_site_leaves_the_others_as_if_it_were_not_there(rounds: list[Round], fault: str, start: int) -> None:
    def gated(answers: Round) -> Round:
        expectation = Expectation(SHAPES, answers[0].round_number)
        return [each for each in answers if check(each, expectation, set()) is None]

    good, rest = rounds[:start], rounds[start:]
    refused = [gated(answers) for answers in change(rest, "site-1", update=BAD_UPDATES[fault])]
    absent = [[each for each in answers if each.site != "site-1"] for answers in rest]
    assert play(good + refused) == play(good + absent)


@given(federations())
def test_round_0_is_fedavg(rounds: list[Round]) -> None:
    total = sum(each.cases for each in rounds[0])
    fedavg = {each.site: each.cases / total for each in rounds[0]}
    assert play(rounds[:1]).weights[0] == pytest.approx(fedavg, abs=1e-12)
    learned = play(rounds).memory
    assert play(rounds[:1], memory=learned).weights[0] == pytest.approx(fedavg, abs=1e-12)


def test_round_0_gives_copies_one_vote_and_the_rest_is_fedavg() -> None:
    rng = np.random.default_rng(0)
    one, other, last = (random_update(rng) for _ in range(3))
    sites = {"a": one, "copy of a": one, "b": other, "c": last}
    played = play([[Contribution(site, 0, 10, 1, update, 0.0) for site, update in sites.items()]])
    assert played.weights[0] == pytest.approx({"a": 1 / 6, "copy of a": 1 / 6, "b": 1 / 3, "c": 1 / 3})
    assert [trace.prior for trace in played.traces[0]] == pytest.approx(list(played.weights[0].values()))


@given(st.integers(1, 6), st.floats(0.0, 5.0), st.integers(1, 5), st.floats(-0.5, 0.5))
def test_equal_evidence_is_fedavg(sites: int, common: float, rounds: int, gain: float) -> None:
    """Every pair of sites has the same cosine, and all gain the same."""
    size = 20
    updates = [{"w": (common + size * (np.arange(size) == i)).astype(np.float32)} for i in range(sites)]
    played = play([[Contribution(f"s{i}", t, 7, 1, updates[i], gain) for i in range(sites)] for t in range(rounds)])
    for weights in played.weights:
        assert list(weights.values()) == pytest.approx([1 / sites] * sites, abs=1e-9)


@given(federations(min_sites=2, max_sites=2))
def test_two_sites_cannot_be_told_apart_by_alignment(rounds: list[Round]) -> None:
    silent = change(change(rounds, "site-0", usefulness=lambda _: None), "site-1", usefulness=lambda _: None)
    for answers, weights in zip(silent, play(silent).weights, strict=True):
        total = sum(each.cases for each in answers)
        assert weights == pytest.approx({each.site: each.cases / total for each in answers}, abs=1e-9)


@given(federations(max_sites=1))
def test_one_site_has_the_weight_one(rounds: list[Round]) -> None:
    assert all(weights == {"site-0": 1.0} for weights in play(rounds).weights)


def test_nobody_has_no_weight_and_nothing_is_learned() -> None:
    memory = Memory(round_number=4)
    assert weigh([], memory, 5, SETTINGS) == ({}, [], memory)


@given(federations(min_sites=2, max_rounds=5))
def test_an_absent_sites_memory_does_not_move(rounds: list[Round]) -> None:
    with_all = play(rounds[:1]).memory
    later = [[each for each in answers if each.site != "site-1"] for answers in rounds[1:]]
    assert play(later, memory=with_all).memory.sites["site-1"] == with_all.sites["site-1"]


@given(MANY, st.integers(1, 5))
def test_a_new_site_starts_at_the_factor_one(rounds: list[Round], start: int) -> None:
    assume(len(rounds) > start)
    joined = [
        [each for each in answers if each.site != "site-1" or answers[0].round_number >= start] for answers in rounds
    ]
    first = of_site(play(joined), "site-1")[0]
    assert first.factor == 1.0
    assert not first.quarantined


@given(federations(), st.lists(st.floats(1e-3, 1e3), min_size=6, max_size=6))
def test_the_influence_of_one_site_is_bounded(rounds: list[Round], lengths: list[float]) -> None:
    for i, length in enumerate(lengths):
        rounds = change(rounds, f"site-{i}", update=lambda update, k=length: algebra.scale(update, k))
    memory = Memory()
    for answers in rounds:
        clipped, limit, _ = clip_to_median(answers)
        weights, _, memory = weigh(clipped, memory, answers[0].round_number, SETTINGS)
        heard = {each.site: each.cases for each in answers if weights[each.site] > 0.0}
        cap = max(SETTINGS.largest_weight, max(heard.values()) / sum(heard.values()))
        for each in clipped:
            assert weights[each.site] * algebra.norm(each.update) <= cap * limit * (1 + 1e-5)


@given(MANY, st.floats(0.0, 0.6))
def test_the_factor_does_not_fall_when_usefulness_rises(rounds: list[Round], more: float) -> None:
    before, last = play(rounds[:-1]).memory, rounds[-1:]
    better = change(last, "site-1", usefulness=lambda value: None if value is None else value + more)
    factor = of_site(play(last, memory=before), "site-1")[0].factor
    assert of_site(play(better, memory=before), "site-1")[0].factor >= factor - 1e-9


@given(st.integers(0, 2**32 - 1), st.floats(0.4, 0.5), st.floats(0.0, 0.45))
def test_the_factor_does_not_fall_when_alignment_rises(seed: int, share: float, more: float) -> None:
    """Six sites around one direction; in the last round one turns towards it, and so may its factor only rise."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((6, 400))
    noise[:, 0] = 0.0
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)

    def answers(t: int, along: list[float]) -> Round:
        directions = np.sqrt(1.0 - np.square(along))[:, None] * noise
        directions[:, 0] = along
        return [Contribution(f"s{i}", t, 10, 1, {"w": direction}) for i, direction in enumerate(directions)]

    def factor(last: float) -> float:
        usual = [0.50, 0.51, 0.52, 0.53, 0.54]
        rounds = [answers(t, [*usual, share]) for t in range(4)] + [answers(4, [*usual, last])]
        return of_site(play(rounds), "s5")[-1].factor

    assert factor(share + more) >= factor(share) - 1e-3  # the random parts of two updates never are quite orthogonal


@given(federations(max_rounds=6), st.integers(0, 6))
def test_memory_to_bytes_to_memory_gives_the_same_next_weights(rounds: list[Round], cut: int) -> None:
    memory = play(rounds[:cut]).memory if rounds[:cut] else Memory()
    restored = Memory.from_bytes(memory.to_bytes())
    if rounds[cut:]:
        assert play(rounds[cut:], memory=restored) == play(rounds[cut:], memory=memory)


@given(federations())
def test_a_round_weighed_again_is_learned_once(rounds: list[Round]) -> None:
    once = play(rounds)
    again = play(rounds[-1:], memory=once.memory)
    assert again.weights[-1] == once.weights[-1]
    assert again.memory == once.memory


@given(MANY)
def test_a_sites_own_numbers_do_not_travel_to_other_sites(rounds: list[Round]) -> None:
    """A trace tells of its own site only, so that a site may be shown its own without another's."""
    told = change(rounds, "site-1", usefulness=lambda _: 0.1234567890123)
    for traces in play(told).traces:
        for trace in traces:
            assert ("0.1234567890123" in repr(trace)) == (trace.site == "site-1")
            assert not any(other.site in repr(trace) for other in traces if other.site != trace.site)


@given(MANY, st.booleans())
def test_two_copies_weigh_no_more_than_one(rounds: list[Round], first: bool) -> None:
    original = "site-0" if first else "site-2"
    doubled = [
        [*answers, *(replace(each, site="copy") for each in answers if each.site == original)] for answers in rounds
    ]
    alone, together = play(rounds), play(doubled)
    assume(not any(trace.quarantined for traces in (*alone.traces, *together.traces) for trace in traces))
    for one, two in zip(alone.weights, together.weights, strict=True):
        assert two[original] + two["copy"] <= one[original] + 1e-6


@settings(max_examples=30)
@given(federations(min_sites=2, max_sites=9, max_rounds=8), st.integers(1, 5))
def test_quarantine_leaves_half_of_sites_and_cases_and_the_minimum(rounds: list[Round], min_clients: int) -> None:
    memory = Memory()
    for answers in rounds:
        weights, traces, memory = weigh(answers, memory, answers[0].round_number, SETTINGS, min_clients)
        heard = [each.cases for each, trace in zip(answers, traces, strict=True) if not trace.quarantined]
        assert len(heard) >= min(len(answers), max(min_clients, math.ceil(len(answers) / 2)))
        assert 2 * sum(heard) >= sum(each.cases for each in answers)
        assert all((weights[trace.site] == 0.0) == trace.quarantined for trace in traces)


@given(federations())
def test_who_is_heard_keeps_half_of_its_prior(rounds: list[Round]) -> None:
    for traces in play(rounds).traces:
        for trace in traces:
            assert trace.quarantined or trace.weight >= SETTINGS.smallest_share * trace.prior - 1e-9
            assert SETTINGS.smallest_factor <= trace.factor <= SETTINGS.largest_factor
            assert trace.quarantined == ("quarantine" in trace.reason)


def five_sites(rounds: int, bad: int = 0, seed: int = 0) -> list[Round]:
    """Sites with much in common; the first `bad` of them flip their signs."""
    rng = np.random.default_rng(seed)
    answers = []
    for t in range(rounds):
        common = algebra.scale(random_update(rng), 2.0)
        honest = [add(common, random_update(rng)) for _ in range(5)]
        sent = [algebra.scale(update, -1.0 if i < bad else 1.0) for i, update in enumerate(honest)]
        answers.append([Contribution(f"site-{i}", t, 10, 1, update, 0.05) for i, update in enumerate(sent)])
    return answers


def test_a_site_that_flips_signs_is_out_after_two_rounds_and_comes_back_when_it_mends() -> None:
    rounds = five_sites(2, bad=1) + five_sites(12)[2:]
    weights = [trace.weight for trace in of_site(play(rounds), "site-0")]
    assert weights[0] == pytest.approx(0.2)
    assert weights[1] == 0.0
    assert weights[-1] > 0.05


def test_quarantine_takes_the_worst_as_far_as_there_is_room() -> None:
    rounds = five_sites(3, bad=2)
    for min_clients, expected in [(1, 2), (3, 2), (4, 1), (5, 0)]:
        memory = Memory()
        for answers in rounds:
            _, traces, memory = weigh(answers, memory, answers[0].round_number, SETTINGS, min_clients)
        assert sum(trace.quarantined for trace in traces) == expected


def test_small_hospitals_do_not_silence_the_one_that_holds_most_cases() -> None:
    rounds = change(five_sites(4, bad=1), "site-0", cases=lambda _: 41)
    assert not any(trace.quarantined for trace in of_site(play(rounds), "site-0"))
    rounds = change(rounds, "site-0", cases=lambda _: 40)
    assert of_site(play(rounds), "site-0")[-1].quarantined


def test_a_doubtful_site_that_cannot_be_quarantined_keeps_half_of_its_prior_beside_excellent_ones() -> None:
    rounds = change(five_sites(6, bad=1), "site-3", usefulness=lambda _: 0.3)
    memory = Memory()
    for answers in rounds:
        weights, traces, memory = weigh(answers, memory, answers[0].round_number, SETTINGS, min_clients=5)
    assert traces[0].factor == SETTINGS.smallest_factor
    assert traces[3].factor == pytest.approx(SETTINGS.largest_factor, rel=0.2)
    assert weights["site-0"] == pytest.approx(0.1)


def test_where_honest_updates_cancel_noise_is_not_rewarded() -> None:
    """Near convergence honest updates sum to zero: only a site of noise does not point away from the rest."""
    rng = np.random.default_rng(5)
    rounds = []
    for t in range(4):
        honest = rng.standard_normal((4, 200))
        vectors = [*(honest - honest.mean(axis=0)), rng.standard_normal(200)]
        rounds.append([Contribution(f"site-{i}", t, 10, 1, {"w": vector}) for i, vector in enumerate(vectors)])
    played = play(rounds)
    assert all(trace.coherence == 0.0 for traces in played.traces for trace in traces)
    assert all(weight == pytest.approx(0.2) for weights in played.weights for weight in weights.values())


def test_a_usefulness_that_is_no_number_is_left_out_and_said() -> None:
    rounds = change(five_sites(3), "site-2", usefulness=lambda _: math.nan)
    silent = change(five_sites(3), "site-2", usefulness=lambda _: None)
    played = play(rounds)
    assert played.weights == play(silent).weights
    assert all("not a number" in trace.reason for trace in of_site(played, "site-2"))


def test_a_gain_counts_up_to_its_limit() -> None:
    def factor(gain: float) -> float:
        return of_site(play(change(five_sites(4), "site-3", usefulness=lambda _: gain)), "site-3")[-1].factor

    assert factor(-0.2) < factor(0.05) < factor(0.25)
    assert factor(0.3) == factor(0.9)


def test_sketched_cosines_give_nearly_the_same_weights() -> None:
    rounds = five_sites(4, bad=1)
    exact, sketched = play(rounds), play(rounds, settings=SETTINGS.changed(sketched=True))
    assert sketched.weights[-1]["site-0"] == exact.weights[-1]["site-0"] == 0.0
    assert sketched.weights[-1] == pytest.approx(exact.weights[-1], abs=0.05)


@pytest.mark.parametrize(("late_length", "is_silenced"), [(1.0, True), (0.1, False)])
def test_camps_of_the_last_short_rounds_silence_nobody(late_length: float, is_silenced: bool) -> None:
    """Two hospitals with most cases against three small ones, once the learning rate has fallen; seen on real cases.

    In rounds as long as the first ones the same quarrel is evidence.
    """
    rng = np.random.default_rng(3)
    cases = {"large": 40, "middle": 21, "small-1": 15, "small-2": 15, "small-3": 12}
    rounds = []
    for t in range(8):
        common, length = algebra.scale(random_update(rng), 2.0), 1.0 if t < 3 else late_length
        camps = [1.0 if t < 3 or "small" in site else -1.0 for site in cases]
        sent = [add(algebra.scale(common, camp), random_update(rng)) for camp in camps]
        rounds.append(
            [
                Contribution(site, t, count, 1, algebra.scale(update, length))
                for (site, count), update in zip(cases.items(), sent, strict=True)
            ]
        )
    traces = of_site(play(rounds), "large")
    assert any(trace.quarantined or trace.factor < 0.6 for trace in traces) == is_silenced
