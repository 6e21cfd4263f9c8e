"""Packing loses what it says it loses, and unpacking makes nothing that is not expected."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedbrats.errors import ConfigurationError, UpdateError
from fedbrats.federation.compression import (
    BLOCK,
    FLOAT16,
    INT8,
    ErrorFeedback,
    check_kind,
    pack,
    unpack,
)

NUMBERS = st.floats(-1e4, 1e4, width=32)
UPDATES = st.fixed_dictionaries(
    {
        "a.weight": arrays(np.float32, (3, 5), elements=NUMBERS),
        "b": arrays(np.float32, (), elements=NUMBERS),
        "c": arrays(np.float32, (BLOCK + 7,), elements=NUMBERS),
    }
)


def shapes_of(update):
    return {name: value.shape for name, value in update.items()}


@given(UPDATES)
def test_int8_is_within_half_a_step_of_the_largest_of_its_block_in_its_own_tensor(update):
    found = unpack(pack(update, INT8), shapes_of(update), INT8)
    for name, value in update.items():
        assert (found[name].dtype, found[name].shape) == (np.float32, value.shape)
        flat, again = value.ravel(), found[name].ravel()
        for start in range(0, flat.size, BLOCK):
            block = flat[start : start + BLOCK]
            step = np.abs(block).max() / 127
            assert np.abs(again[start : start + BLOCK] - block).max() <= step * 0.5001 + 1e-30


@given(UPDATES)
def test_float16_is_numpys_float16(update):
    found = unpack(pack(update, FLOAT16), shapes_of(update), FLOAT16)
    for name, value in update.items():
        np.testing.assert_array_equal(found[name], value.astype(np.float16).astype(np.float32))


def test_an_update_of_a_network_takes_less_than_a_quarter():
    update = {"w": np.random.default_rng(0).normal(size=(64, 64, 27)).astype(np.float32)}
    assert pack(update, INT8).nbytes < update["w"].nbytes / 4
    assert pack(update, FLOAT16).nbytes == update["w"].nbytes / 2


@pytest.mark.parametrize("kind", [FLOAT16, INT8])
def test_with_error_feedback_the_sum_of_many_rounds_is_as_exact_as_one(kind):
    rng = np.random.default_rng(0)
    feedback = ErrorFeedback(kind)
    update = {"w": rng.normal(size=500).astype(np.float32)}
    error = unpack(pack(update, kind), shapes_of(update), kind)["w"] - update["w"]
    total = sum(unpack(feedback.pack(update, n), shapes_of(update), kind)["w"].astype(np.float64) for n in range(50))
    assert np.abs(total - 50 * update["w"].astype(np.float64)).max() < 2.5 * np.abs(error).max()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_arrives_so_and_does_not_spoil_the_next_round(bad):
    feedback = ErrorFeedback(INT8)
    broken = {"w": np.array([1.0, bad, 2.0], np.float32)}
    assert not np.isfinite(unpack(feedback.pack(broken, 0), shapes_of(broken), INT8)["w"]).all()
    good = {"w": np.array([1.0, -127.0, 2.0], np.float32)}
    np.testing.assert_array_equal(unpack(feedback.pack(good, 1), shapes_of(good), INT8)["w"], good["w"])


def test_a_round_that_is_asked_again_is_answered_the_same_and_a_refused_giant_leaves_nothing():
    rng = np.random.default_rng(0)
    rounds = [{"w": rng.normal(size=300).astype(np.float32)} for _ in range(3)]
    once, twice = ErrorFeedback(INT8), ErrorFeedback(INT8)
    for number, update in enumerate(rounds):
        first = once.pack(update, number)
        twice.pack(update, number)
        again = twice.pack(update, number)
        assert first.codes.tobytes() == again.codes.tobytes()
    after_giant = ErrorFeedback(INT8)
    after_giant.pack({"w": 100 * rounds[0]["w"]}, 0)
    assert after_giant.pack(rounds[1], 1).codes.tobytes() == pack(rounds[1], INT8).codes.tobytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda p: replace(p, names=("w", "x")),
        lambda p: replace(p, names=("w", "w")),
        lambda p: replace(p, codes=p.codes[:-3]),
        lambda p: replace(p, codes=np.frombuffer(zlib.compress(bytes(10**7)), np.uint8)),
        lambda p: replace(p, codes=np.arange(9, dtype=np.uint8)),
        lambda p: replace(p, scales=p.scales[:0]),
    ],
)
def test_what_was_not_packed_here_is_refused_before_anything_large_is_made(change):
    update = {"w": np.random.default_rng(0).normal(size=2000).astype(np.float32)}
    with pytest.raises(UpdateError, match="packed update"):
        unpack(change(pack(update, INT8)), shapes_of(update), INT8)


def test_other_numbers_and_other_kinds_are_refused():
    with pytest.raises(UpdateError, match="only float32"):
        pack({"w": np.zeros(3)}, INT8)
    with pytest.raises(ConfigurationError, match="none, float16, int8"):
        check_kind("zip")
