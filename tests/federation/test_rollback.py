"""Whether a model has become worse, by the median of the sites that judged both."""

import pytest

from fedbrats.federation.rollback import drop


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
