"""Adaptive attacks: what each sends, by its definition; none is longer than what gates and clips let through."""

import numpy as np
import pytest
from nvflare.apis.dxo import from_shareable

from fedbrats.federation.gates import Contribution, Expectation, check
from fedbrats.federation.updates import dot, norm
from fedbrats.misbehaviour.adaptive import ADAPTIVE_ATTACKS, DRIFT_LENGTHS, Adversary, direction
from fedbrats.misbehaviour.executors import MisbehavingExecutor
from tests.faults.site import Site

SHAPES = {"a": (20, 30), "b": (50,)}


def update(seed, size=1.0):
    rng = np.random.default_rng(seed)
    return {name: (size * rng.standard_normal(shape)).astype(np.float32) for name, shape in SHAPES.items()}


def minus(one, other):
    return {name: one[name] - other[name] for name in one}


def play(kind, site="site-1"):
    """(own update, what the last round did, what is sent) in the second round."""
    adversary, first, own = Adversary(kind, site), update(1), update(3)
    adversary.corrupt(update(2), first, 0)
    moved = update(4, size=0.5)
    second = {name: first[name] + moved[name] for name in first}
    return own, minus(second, first), adversary.corrupt(own, second, 1)


@pytest.mark.parametrize("kind", ADAPTIVE_ATTACKS)
def test_no_gate_refuses_it_and_it_is_at_most_two_lengths(kind):
    own, _, sent = play(kind)
    expected = Expectation(SHAPES, 1, {"site-1": 10})
    assert check(Contribution("site-1", 1, 10, 5, sent), expected, set()) is None
    assert norm(sent) < 2 * norm(own)
    assert any(not np.array_equal(sent[name], own[name]) for name in own)
    assert all(np.array_equal(play(kind)[2][name], sent[name]) for name in sent)


def test_a_drift_is_one_and_a_half_own_lengths_in_a_direction_that_stays():
    own, _, sent = play("drift")
    drift = minus(sent, own)
    assert norm(drift) == pytest.approx(DRIFT_LENGTHS * norm(own), rel=1e-4)
    again = Adversary("drift", "site-1")
    other = update(9)
    assert dot(minus(again.corrupt(other, update(1), 7), other), drift) == pytest.approx(
        norm(drift) * DRIFT_LENGTHS * norm(other), rel=1e-4
    )


def test_alie_lies_between_the_mean_and_some_deviations():
    own, moved, sent = play("alie")
    mean = {name: (own[name] + moved[name]) / 2 for name in own}
    spread = {name: np.std([own[name], moved[name]], axis=0, ddof=1) for name in own}
    for name in sent:
        np.testing.assert_allclose(sent[name], mean[name] - 1.5 * spread[name], atol=1e-5)


def test_inner_product_manipulation_points_away_from_what_the_federation_did():
    _, moved, sent = play("inner-product")
    assert dot(sent, moved) == pytest.approx(-0.5 * norm(moved) ** 2, rel=1e-4)


def test_a_free_rider_repeats_the_federation_at_its_length():
    _, moved, sent = play("free-rider")
    assert norm(sent) == pytest.approx(norm(moved), rel=0.02)
    assert dot(sent, moved) > 0.98 * norm(sent) * norm(moved)


def test_those_who_collude_send_one_direction():
    (own, _, one), (_, _, other) = play("colluding", "site-1"), play("colluding", "site-2")
    assert norm(one) == pytest.approx(norm(own), rel=1e-4)
    assert dot(one, other) == pytest.approx(norm(one) * norm(other), rel=1e-4)
    assert norm(direction(own, 0)) == pytest.approx(1)


def test_a_real_site_that_drifts_answers_its_honest_update_and_the_drift(tmp_path, phantom_sites):
    honest, drifting = (
        from_shareable(Site(tmp_path, phantom_sites, kind=MisbehavingExecutor, misbehaviour=kinds).answer()).data
        for kinds in ({"site-2": "drift"}, {"site-1": "drift"})
    )
    assert norm(minus(drifting, honest)) == pytest.approx(DRIFT_LENGTHS * norm(honest), rel=1e-3)
