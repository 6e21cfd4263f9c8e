"""The coordinate median and the trimmed mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbrats.errors import ConfigurationError, UpdateError
from fedbrats.federation.robust import coordinate_median, trimmed_mean
from tests.federation.strategies import Update, updates

MANY = st.lists(updates(), min_size=1, max_size=6)


@given(MANY)
def test_the_median_is_numpys(parts: list[Update]) -> None:
    expected = {name: np.median(np.stack([part[name] for part in parts]), axis=0) for name in parts[0]}
    result = coordinate_median(parts)
    assert all(np.allclose(result[name], expected[name]) for name in expected)


@given(MANY, st.permutations(range(6)), st.sampled_from([0.0, 0.1, 0.2, 0.4]))
def test_the_order_of_sites_changes_nothing(parts: list[Update], order: list[int], trim: float) -> None:
    turned = [parts[i] for i in order if i < len(parts)]
    for one, other in (
        (coordinate_median(parts), coordinate_median(turned)),
        (trimmed_mean(parts, trim), trimmed_mean(turned, trim)),
    ):
        assert all(np.array_equal(one[name], other[name]) for name in one)


@given(st.lists(updates(), min_size=4, max_size=6), st.floats(-1e30, 1e30))
def test_one_site_cannot_leave_the_range_of_the_others(honest: list[Update], value: float) -> None:
    bad = {name: np.full(part.shape, value) for name, part in honest[0].items()}
    for result in (coordinate_median([*honest, bad]), trimmed_mean([*honest, bad], 0.2)):
        for name, part in result.items():
            stack = np.stack([each[name] for each in honest])
            assert (part >= stack.min(axis=0) - 1e-9).all()
            assert (part <= stack.max(axis=0) + 1e-9).all()


def test_hand_checkable_numbers() -> None:
    parts = [{"w": np.array([value], np.float32)} for value in (1.0, 2.0, 3.0, 4.0, 100.0)]
    assert trimmed_mean(parts, 0.2)["w"].tolist() == [3.0]
    assert trimmed_mean(parts, 0.0)["w"].tolist() == [22.0]
    assert coordinate_median(parts)["w"].tolist() == [3.0]
    assert coordinate_median(parts)["w"].dtype == np.float32


@pytest.mark.parametrize("centre", [coordinate_median, trimmed_mean])
def test_updates_of_another_form_and_no_updates_are_refused(centre) -> None:
    with pytest.raises(UpdateError):
        centre([{"w": np.ones(1)}, {"w": np.ones(2)}])
    with pytest.raises(UpdateError, match="keep the model"):
        centre([])


@pytest.mark.parametrize("trim", [-0.1, 0.5, 1.0, np.nan])
def test_a_mean_needs_somebody_in_the_middle(trim: float) -> None:
    with pytest.raises(ConfigurationError):
        trimmed_mean([{"w": np.ones(1)}], trim)
