"""Whether a model has become worse, by the median of the sites that judged both."""

import pytest

from fedbrats.federation.rollback import Verdict, drop, judge


@pytest.mark.parametrize(
    ("now", "good", "lost"),
    [
        ({"a": 0.5, "b": 0.4, "c": 0.3}, {"a": 0.7, "b": 0.7, "c": 0.7}, 0.3),
        ({"a": 0.9, "b": 0.9}, {"a": 0.1, "b": 0.1}, 0.0),
        ({"a": 0.7, "b": 0.7, "liar": 0.0}, {"a": 0.7, "b": 0.7, "liar": 1.0}, 0.0),
        ({"new": 0.0}, {"gone": 1.0}, 0.0),
        ({}, {}, 0.0),
    ],
)
def test_the_median_site_decides(now, good, lost):
    assert drop(now, good) == pytest.approx(lost)


@pytest.mark.parametrize(
    ("now", "good", "verdict", "loss"),
    [
        ({"a": 0.5}, None, Verdict.NEW_BASELINE, 0.0),
        ({}, None, Verdict.OLD_BASELINE, None),
        ({"a": 0.65}, {"a": 0.7}, Verdict.NEW_BASELINE, 0.05),
        ({"a": 0.4}, {"a": 0.7}, Verdict.ROLL_BACK, 0.3),
        ({"b": 0.1}, {"a": 0.7}, Verdict.OLD_BASELINE, None),
        ({}, {"a": 0.7}, Verdict.OLD_BASELINE, None),
    ],
)
def test_a_round_without_a_common_judge_keeps_the_earlier_baseline(now, good, verdict, loss):
    found = judge(now, good, most=0.1)
    assert (found.verdict, found.lost) == (verdict, loss if loss is None else pytest.approx(loss))
