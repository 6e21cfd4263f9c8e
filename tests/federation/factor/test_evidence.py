"""What one round says about each site."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbrats.federation.factor import evidence

VALUES = st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=9).map(np.array)
ALL = np.ones(9)


def matrix(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float64)


def test_copies_are_those_far_closer_than_sites_usually_are() -> None:
    G = matrix([1, 0.999, 0.3, 0.2], [0.999, 1, 0.3, 0.2], [0.3, 0.3, 1, 0.1], [0.2, 0.2, 0.1, 1])
    assert evidence.find_copies(G, 0.98, 0.1).sum(axis=1).tolist() == [2, 2, 1, 1]


def test_an_honest_majority_that_agrees_does_not_share_one_vote() -> None:
    G = np.full((5, 5), 0.985)
    G[4, :] = G[:, 4] = 0.0
    np.fill_diagonal(G, 1.0)
    assert evidence.find_copies(G, 0.98, 0.1).sum(axis=1).tolist() == [1] * 5


def test_a_copy_of_a_copy_is_a_copy() -> None:
    G = np.eye(5)
    G[0, 1] = G[1, 0] = G[1, 2] = G[2, 1] = 0.985
    G[0, 2] = G[2, 0] = 0.95
    assert evidence.find_copies(G, 0.98, 0.1).sum(axis=1).tolist() == [3, 3, 3, 1, 1]


def test_copies_share_the_vote_of_the_largest() -> None:
    copies = matrix([1, 1, 0], [1, 1, 0], [0, 0, 1]).astype(bool)
    prior = evidence.share_votes(np.array([10.0, 30.0, 30.0]), copies, np.full(3, True))
    assert prior == pytest.approx([0.125, 0.375, 0.5])
    unheard = evidence.share_votes(np.array([10.0, 30.0, 30.0]), copies, np.array([True, False, True]))
    assert unheard == pytest.approx([0.25, 0.0, 0.75])


def test_alignment_is_the_cosine_with_the_mean_of_the_others() -> None:
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((4, 50))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    prior = np.array([0.1, 0.2, 0.3, 0.4])
    alignment = evidence.align(directions @ directions.T, prior, np.eye(4, dtype=bool))
    for i in range(4):
        others = np.delete(prior, i) @ np.delete(directions, i, axis=0)
        assert alignment[i] == pytest.approx(directions[i] @ others / np.linalg.norm(others))


def test_the_majority_includes_neither_who_works_against_it_nor_who_has_no_vote() -> None:
    against = np.array([1.0, 1.0, 1.0, -1.0, -1.0])
    G = 0.8 * np.outer(against, against) + 0.2 * np.eye(5)
    assert evidence.find_majority(G, np.ones(5)).tolist() == [True, True, True, False, False]
    assert evidence.find_majority(G, np.array([1.0, 1.0, 0.0, 1.0, 0.0])).tolist() == [True, True, False, False, False]


def test_where_nobody_points_the_same_way_everybody_is_the_majority() -> None:
    G = 1.25 * np.eye(5) - 0.25
    assert evidence.find_majority(G, np.ones(5)).all()


def test_alignment_is_zero_where_there_is_nobody_else_or_others_cancel() -> None:
    alone = evidence.align(np.ones((1, 1)), np.ones(1), np.ones((1, 1), bool))
    G = matrix([1, 0, 0], [0, 1, -1], [0, -1, 1])
    cancelled = evidence.align(G, np.full(3, 1 / 3), np.eye(3, dtype=bool))
    assert alone.tolist() == [0.0]
    assert cancelled[0] == 0.0


@given(VALUES, st.data())
def test_a_higher_value_never_has_a_lower_score(values: np.ndarray, data: st.DataObject) -> None:
    i = data.draw(st.integers(0, len(values) - 1))
    raised = values.copy()
    raised[i] += data.draw(st.floats(0.0, 2.0))
    before = evidence.robust_scores(values, ALL[: len(values)], 0.05)
    after = evidence.robust_scores(raised, ALL[: len(values)], 0.05)
    assert after[i] >= before[i] - 1e-9
    assert evidence.log_evidence(after, -3.0)[i] >= evidence.log_evidence(before, -3.0)[i] - 1e-9


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=9).map(sorted).map(np.array))
def test_evidence_grows_with_the_score_and_is_bounded_above(scores: np.ndarray) -> None:
    values = evidence.log_evidence(scores, -3.0)
    assert (np.diff(values) >= -1e-12).all()
    assert (values <= np.log(2.0)).all()
    assert evidence.log_evidence(np.zeros(1), -3.0)[0] == 0.0


@given(VALUES, st.floats(-1.0, 1.0))
def test_equal_values_are_no_evidence(values: np.ndarray, value: float) -> None:
    equal = np.full(len(values), value)
    assert (evidence.robust_scores(equal, ALL[: len(values)], 0.05) == 0.0).all()


def test_a_missing_value_scores_nothing_and_does_not_vote() -> None:
    scores = evidence.robust_scores(np.array([0.0, 0.1, 0.2, np.nan]), np.ones(4), 0.01)
    assert scores == pytest.approx([-1 / 1.4826, 0.0, 1 / 1.4826, 0.0])
    nobody = evidence.robust_scores(np.array([0.0, np.nan]), np.array([0.0, 1.0]), 0.01)
    assert nobody.tolist() == [0.0, 0.0]


@given(VALUES)
def test_the_weighted_median_is_numpys_for_equal_votes(values: np.ndarray) -> None:
    assert evidence.weighted_median(values, np.full(len(values), 1 / 3)) == pytest.approx(np.median(values))


def test_half_votes_count_as_halves() -> None:
    assert evidence.weighted_median(np.array([5.0, 5.0, 1.0, 2.0]), np.array([0.5, 0.5, 1.0, 1.0])) == 2.0
