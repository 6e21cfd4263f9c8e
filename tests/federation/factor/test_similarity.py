"""Cosines between updates, exact and from sketches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbrats.federation import updates as algebra
from fedbrats.federation.factor import similarity
from fedbrats.federation.factor.similarity import (
    SKETCH_LENGTH,
    gram,
    sketch,
    sketched_gram,
)
from tests.federation.strategies import add, cosine, random_update


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_the_matrix_holds_the_cosine_of_every_pair(seed: int, sites: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [random_update(rng) for _ in range(sites)]
    expected = [[cosine(a, b) for b in parts] for a in parts]
    assert np.allclose(gram(parts)[0], expected)


@given(st.integers(0, 2**32 - 1), st.integers(-20, 20))
def test_lengths_do_not_matter(seed: int, exponent: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [random_update(rng) for _ in range(3)]
    scaled = [parts[0], algebra.scale(parts[1], 2.0**exponent), parts[2]]
    assert np.array_equal(gram(parts)[0], gram(scaled)[0])
    assert np.array_equal(sketched_gram(parts)[0], sketched_gram(scaled)[0])


def test_large_tensors_are_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    parts = [{"w": rng.standard_normal((50, 41)).astype(np.float32)} for _ in range(3)]
    whole = gram(parts)[0]
    monkeypatch.setattr(similarity, "_BLOCK", 64)
    assert np.allclose(gram(parts)[0], whole, atol=1e-14)


@pytest.mark.parametrize("angle", [0.0, 0.3, 0.9])
def test_a_sketch_keeps_cosines_to_one_part_in_64(angle: float) -> None:
    rng = np.random.default_rng(1)
    errors = []
    for trial in range(60):
        a, b = rng.standard_normal((2, 30_000))
        parts = [{f"w{trial}": a}, {f"w{trial}": angle * a + np.sqrt(1 - angle**2) * b}]
        errors.append(sketched_gram(parts)[0][0, 1] - gram(parts)[0][0, 1])
    assert np.sqrt(np.mean(np.square(errors))) < 1.3 / np.sqrt(SKETCH_LENGTH)
    assert abs(np.mean(errors)) < 4.0 / np.sqrt(SKETCH_LENGTH * len(errors))


def test_a_sketch_keeps_cosines_of_few_large_numbers_too() -> None:
    """Updates with most of their length in a few coordinates (biases, say) are the hard case of a sketch."""
    rng = np.random.default_rng(2)
    errors = []
    for trial in range(60):
        a, b = rng.standard_normal((2, 5000)) * np.geomspace(100.0, 0.01, 5000)
        parts = [{f"w{trial}": a}, {f"w{trial}": a + b}]
        errors.append(sketched_gram(parts)[0][0, 1] - gram(parts)[0][0, 1])
    assert np.sqrt(np.mean(np.square(errors))) < 1.5 / np.sqrt(SKETCH_LENGTH)


def test_sketches_add_up_and_copies_have_equal_ones() -> None:
    rng = np.random.default_rng(3)
    a, b = random_update(rng), random_update(rng)
    assert np.allclose(sketch(add(a, b)), sketch(a) + sketch(b), atol=1e-5)
    assert np.array_equal(sketch(a), sketch(dict(reversed(list(a.items())))))
    assert not np.array_equal(sketch({"one": a["body.bias"]}), sketch({"two": a["body.bias"]}))
