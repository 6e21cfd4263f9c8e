"""What leaves a site and what does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbrats.errors import ConfigurationError, UpdateError
from fedbrats.federation.sharing import (
    keep_personal,
    merge,
    personal_at_last,
    personal_in_round,
    split_names,
)

NAMES = ("norm1.weight", "norm1.bias", "norm10.weight", "body.conv.weight", "head.weight", "head.bias")
WEIGHTS = {name: np.full(2, float(i)) for i, name in enumerate(NAMES)}
PATTERNS = st.lists(st.sampled_from([*NAMES, "norm1.", "norm10.", "body.", "head.", "body.conv."]), max_size=4)


@given(PATTERNS)
def test_every_name_is_shared_or_personal_and_never_both(patterns: list[str]) -> None:
    shared, personal = split_names(NAMES, patterns)
    assert sorted(shared + personal) == sorted(NAMES)
    assert not set(shared) & set(personal)
    assert list(shared) == [name for name in NAMES if name in shared]


@given(PATTERNS)
def test_what_is_split_merges_to_the_same_model(patterns: list[str]) -> None:
    names, _ = split_names(NAMES, patterns)
    shared = {name: WEIGHTS[name] for name in names}
    personal = keep_personal(WEIGHTS, patterns)
    merged = merge(shared, personal, NAMES)
    assert list(merged) == list(NAMES)
    assert all(merged[name] is WEIGHTS[name] for name in NAMES)


def test_a_prefix_ends_at_its_dot() -> None:
    shared, personal = split_names(NAMES, ["norm1."])
    assert personal == ("norm1.weight", "norm1.bias")
    assert "norm10.weight" in shared


def test_without_patterns_everything_is_shared() -> None:
    assert split_names(NAMES, []) == (NAMES, ())


@pytest.mark.parametrize("pattern", ["norm", "head.weigh", "", ".", "ead.", "HEAD.", "head.*", "decoder."])
def test_a_pattern_that_matches_nothing_stops_the_site(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="matches no parameter"):
        split_names(NAMES, ["head.", pattern])


def test_everything_may_be_personal() -> None:
    assert split_names(NAMES, ["norm1.", "norm10.", "body.", "head."]) == ((), NAMES)


@pytest.mark.parametrize(
    ("shared", "personal", "complaint"),
    [
        ({"a": 1}, {"a": 1, "b": 1}, "both shared and personal"),
        ({"a": 1}, {}, "missing"),
        ({"a": 1, "c": 1}, {"b": 1}, "unknown"),
    ],
)
def test_a_model_of_other_names_is_refused(shared: dict, personal: dict, complaint: str) -> None:
    with pytest.raises(UpdateError, match=complaint):
        merge(shared, personal, ["a", "b"])


@given(st.integers(1, 30), st.integers(0, 40), st.sampled_from(["none", "head"]))
def test_everything_is_personal_in_the_last_rounds_and_in_no_other(rounds: int, last: int, personal: str) -> None:
    sets = [personal_in_round(personal, last, number, rounds) for number in range(rounds)]
    own = min(last, rounds)
    assert sets == [personal] * (rounds - own) + ["all"] * own
    assert sets[-1] == personal_at_last(personal, last)
