"""What is remembered survives as it was, and what is not a memory is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbrats.errors import ConfigurationError
from fedbrats.federation.factor.memory import Memory, SiteMemory

NUMBER = st.floats(allow_nan=False, allow_infinity=False)
RECORDS = st.builds(
    SiteMemory,
    alignment=NUMBER,
    usefulness=NUMBER,
    distance=NUMBER,
    aligned_distance=NUMBER,
    quarantined=st.booleans(),
    rounds=st.integers(0, 10**6),
    coherent_rounds=st.integers(0, 10**6),
)
SITES = st.dictionaries(st.text(), RECORDS, max_size=4)


@given(SITES, SITES, st.integers(-1, 1000))
def test_bytes_bring_back_every_bit(sites: dict, earlier: dict, round_number: int) -> None:
    memory = Memory(sites, earlier, round_number)
    assert Memory.from_bytes(memory.to_bytes()) == memory


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_in_one_sentence(content: bytes) -> None:
    with pytest.raises(ConfigurationError, match="contribution memory cannot be read"):
        Memory.from_bytes(content)


GOOD = json.loads(Memory({"a": SiteMemory()}, {}, 3).to_bytes())


@pytest.mark.parametrize(
    "change",
    [
        {"format": 1},
        {"sites": {"a": {}}},
        {"sites": {"a": {**GOOD["sites"]["a"], "alignment": "high"}}},
        {"sites": {"a": {**GOOD["sites"]["a"], "alignment": float("nan")}}},
        {"sites": ["a"]},
        {"round_number": None},
    ],
)
def test_a_document_of_another_kind_is_refused(change: dict) -> None:
    with pytest.raises(ConfigurationError, match="contribution memory cannot be read"):
        Memory.from_bytes(json.dumps({**GOOD, **change}).encode())


def test_a_repeated_round_sees_what_the_first_one_saw() -> None:
    old, new = {"a": SiteMemory(rounds=1)}, {"a": SiteMemory(rounds=2)}
    memory = Memory(new, old, round_number=7)
    assert memory.before(8) == new
    assert memory.before(7) == old
    assert memory.before(0) == {}
