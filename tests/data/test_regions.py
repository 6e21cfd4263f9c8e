"""Label values and regions: round trips, the conventions, and how a data set settles one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from fedbrats.data.regions import (
    BRATS_2015,
    BRATS_2018,
    BRATS_2023,
    BRATS_2024,
    CONVENTIONS,
    LabelConvention,
    get_convention,
    labels_to_regions,
    regions_to_labels,
)
from fedbrats.errors import DataError

conventions = st.sampled_from(list(CONVENTIONS.values()))


@st.composite
def labelled(draw: st.DrawFn) -> tuple[LabelConvention, np.ndarray]:
    """A convention and a volume of its labels."""
    convention = draw(conventions)
    shape = draw(npst.array_shapes(min_dims=3, max_dims=3, max_side=5))
    dtype = draw(st.sampled_from([np.uint8, np.int16, np.float64]))
    return convention, draw(npst.arrays(dtype, shape, elements=st.sampled_from(sorted(convention.values))))


@given(labelled())
def test_regions_are_nested(case: tuple[LabelConvention, np.ndarray]) -> None:
    convention, labels = case
    whole, core, enhancing = labels_to_regions(labels, convention)
    assert (whole >= core).all()
    assert (core >= enhancing).all()


@given(labelled())
def test_regions_survive_a_round_trip(case: tuple[LabelConvention, np.ndarray]) -> None:
    convention, labels = case
    mask = labels_to_regions(labels, convention)
    again = regions_to_labels(mask, convention)
    assert mask.dtype == again.dtype == np.uint8
    np.testing.assert_array_equal(labels_to_regions(again, convention), mask)


def test_labels_survive_a_round_trip_where_each_has_its_own_meaning() -> None:
    labels = np.array([[[0, 1, 2, 4]]], dtype=np.uint8)
    np.testing.assert_array_equal(regions_to_labels(labels_to_regions(labels, BRATS_2018), BRATS_2018), labels)


@pytest.mark.parametrize(
    ("convention", "whole", "core", "enhancing"),
    [
        (BRATS_2015, [1, 1, 1, 1], [1, 0, 1, 1], [0, 0, 0, 1]),
        (BRATS_2024, [1, 1, 1, 0], [1, 0, 1, 0], [0, 0, 1, 0]),
    ],
)
def test_labels_1_to_4_by_convention(
    convention: LabelConvention, whole: list[int], core: list[int], enhancing: list[int]
) -> None:
    labels = np.array([1, 2, 3, 4]).reshape(1, 1, 4)
    mask = labels_to_regions(labels, convention)[:, 0, 0]
    np.testing.assert_array_equal(mask, [whole, core, enhancing])


def test_a_mask_that_is_not_nested_takes_the_innermost_region() -> None:
    mask = np.array([0, 0, 1]).reshape(3, 1, 1, 1)
    assert regions_to_labels(mask, BRATS_2023).item() == BRATS_2023.enhancing


@pytest.mark.parametrize(
    ("convention", "stray"), [(BRATS_2018, 3), (BRATS_2023, 4), (BRATS_2018, 7), (BRATS_2018, 1.5)]
)
def test_a_label_that_the_convention_does_not_know_is_refused(convention: LabelConvention, stray: float) -> None:
    labels = np.array([0, 1, stray]).reshape(1, 1, 3)
    with pytest.raises(DataError, match=rf"label\(s\) {stray:g}, but convention {convention.name}"):
        labels_to_regions(labels, convention)


def test_unknown_convention_lists_those_there_are() -> None:
    assert get_convention("brats-2018") is BRATS_2018
    with pytest.raises(DataError, match="brats-2015, brats-2018, brats-2023, brats-2024"):
        get_convention("2018")
