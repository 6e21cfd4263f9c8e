"""Dice and IoU by hand, and the empty-region rule."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedbrats.model.metrics import CaseScore, score_case, summarise

MASKS = arrays(np.uint8, (3, 2, 3, 2), elements=st.integers(0, 1))


def test_by_hand():
    prediction, truth = np.zeros((2, 3, 4, 1, 1), np.uint8)
    prediction[0, :3] = 1  # WT: 3 predicted, 2 true, 2 common
    truth[0, :2] = 1
    truth[1, 0] = 1  # TC: nothing predicted
    score = score_case("case", "patient", prediction, truth)
    assert score.dice == {"WT": pytest.approx(0.8), "TC": 0.0, "ET": 1.0}  # ET: both empty
    assert score.iou == {"WT": pytest.approx(2 / 3), "TC": 0.0, "ET": 1.0}


@given(prediction=MASKS, truth=MASKS)
def test_both_are_symmetric_and_tied_to_each_other(prediction, truth):
    one, other = score_case("c", "p", prediction, truth), score_case("c", "p", truth, prediction)
    assert one.dice == other.dice
    for region, dice in one.dice.items():
        assert 0 <= dice <= 1
        assert one.iou[region] == pytest.approx(dice / (2 - dice))


@given(mask=MASKS)
def test_the_truth_itself_is_perfect(mask):
    assert set(score_case("c", "p", mask, mask).dice.values()) == {1.0}


def test_means_are_over_cases_and_then_over_regions():
    scores = [
        CaseScore("a", "a", {"WT": 1.0, "TC": 0.5, "ET": 0.0}, {"WT": 1.0, "TC": 0.2, "ET": 0.0}),
        CaseScore("b", "b", {"WT": 0.0, "TC": 0.5, "ET": 0.0}, {"WT": 0.0, "TC": 0.2, "ET": 0.0}),
    ]
    summary = summarise(scores)
    assert summary["dice"] == pytest.approx({"mean": 1 / 3, "WT": 0.5, "TC": 0.5, "ET": 0.0})
    assert summary["iou"]["TC"] == pytest.approx(0.2)


def test_no_case_has_no_mean():
    with pytest.raises(ValueError, match="no case"):
        summarise([])
