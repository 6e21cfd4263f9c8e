"""Weights within bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbrats.federation.factor.projection import project

SITES = st.integers(1, 8)


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(wanted, low, high) with sum(low) <= 1 <= sum(high)."""
    n = draw(SITES)
    shares = np.array(draw(st.lists(st.floats(0.01, 1.0), min_size=n, max_size=n)))
    factors = np.array(draw(st.lists(st.floats(0.1, 10.0), min_size=n, max_size=n)))
    prior = shares / shares.sum()
    return prior * factors, prior * draw(st.floats(0.0, 1.0)), prior * draw(st.floats(1.0, 5.0))


@given(problems())
def test_weights_sum_to_one_within_their_bounds(problem: tuple) -> None:
    wanted, low, high = problem
    weights = project(wanted, low, high)
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert (weights >= low - 1e-9).all()
    assert (weights <= high + 1e-9).all()


@given(problems())
def test_away_from_the_bounds_proportions_are_kept(problem: tuple) -> None:
    wanted, low, high = problem
    weights = project(wanted, low, high)
    free = (weights > low + 1e-9) & (weights < high - 1e-9)
    ratios = weights[free] / wanted[free]
    assert np.allclose(ratios, ratios[:1].repeat(len(ratios)), rtol=1e-6)


@given(problems(), st.floats(1.0, 3.0))
def test_who_is_wanted_more_gets_no_less(problem: tuple, more: float) -> None:
    wanted, low, high = problem
    raised = wanted.copy()
    raised[0] *= more
    assert project(raised, low, high)[0] >= project(wanted, low, high)[0] - 1e-9


@given(problems(), st.floats(0.1, 10.0))
def test_the_scale_of_wishes_does_not_matter(problem: tuple, k: float) -> None:
    wanted, low, high = problem
    assert np.allclose(project(k * wanted, low, high), project(wanted, low, high), atol=1e-9)


def test_hand_checkable_numbers() -> None:
    wanted, low, high = np.array([8.0, 1.0, 1.0]), np.zeros(3), np.array([0.5, 1.0, 1.0])
    assert project(wanted, low, high) == pytest.approx([0.5, 0.25, 0.25])
    assert project(np.array([1.0, 3.0]), np.zeros(2), np.ones(2)) == pytest.approx([0.25, 0.75])
    assert project(np.array([1.0, 9.0]), np.array([0.3, 0.3]), np.ones(2)) == pytest.approx([0.3, 0.7])
