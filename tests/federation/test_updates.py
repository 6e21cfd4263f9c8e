"""The laws of the algebra."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbrats.errors import UpdateError
from fedbrats.federation import updates as algebra
from tests.federation.strategies import NUMBERS, Update, add, updates

POSITIVE = st.floats(0.01, 100.0)


def same(a: Update, b: Update, tolerance: float = 1e-9) -> bool:
    return a.keys() == b.keys() and all(np.allclose(a[name], b[name], rtol=tolerance, atol=tolerance) for name in a)


@given(updates(), updates())
def test_a_difference_added_back_gives_the_model_after_training(before: Update, after: Update) -> None:
    assert same(add(before, algebra.difference(after, before)), after)


@given(updates(), updates(), NUMBERS, NUMBERS)
def test_scaling_distributes(a: Update, b: Update, k: float, m: float) -> None:
    assert same(algebra.scale(add(a, b), k), add(algebra.scale(a, k), algebra.scale(b, k)), 1e-7)
    assert same(algebra.scale(algebra.scale(a, k), m), algebra.scale(a, k * m), 1e-7)


@given(updates(), updates(), updates(), NUMBERS)
def test_the_inner_product_is_symmetric_and_linear(a: Update, b: Update, c: Update, k: float) -> None:
    assert algebra.dot(a, b) == algebra.dot(b, a)
    left = algebra.dot(add(algebra.scale(a, k), b), c)
    assert left == pytest.approx(k * algebra.dot(a, c) + algebra.dot(b, c), rel=1e-7, abs=1e-4)


@given(updates(), updates(), NUMBERS)
def test_lengths_obey_cauchy_schwarz_the_triangle_and_scaling(a: Update, b: Update, k: float) -> None:
    assert abs(algebra.dot(a, b)) <= algebra.norm(a) * algebra.norm(b) * (1 + 1e-12) + 1e-12
    assert algebra.norm(add(a, b)) <= algebra.norm(a) + algebra.norm(b) + 1e-9
    assert algebra.norm(algebra.scale(a, k)) == pytest.approx(abs(k) * algebra.norm(a), rel=1e-9, abs=1e-9)


@given(st.lists(st.tuples(updates(), POSITIVE), min_size=1, max_size=4), POSITIVE)
def test_a_mean_lies_between_its_updates_and_knows_relative_weights_only(pairs: list, k: float) -> None:
    parts, weights = [u for u, _ in pairs], [w for _, w in pairs]
    mean = algebra.weighted_mean(parts, weights)
    assert same(mean, algebra.weighted_mean(parts, [k * w for w in weights]), 1e-7)
    for name in mean:
        stack = np.stack([part[name] for part in parts])
        assert (mean[name] >= stack.min(axis=0) - 1e-9).all()
        assert (mean[name] <= stack.max(axis=0) + 1e-9).all()


@given(updates(), POSITIVE, POSITIVE)
def test_the_mean_of_equal_updates_is_that_update(a: Update, w: float, v: float) -> None:
    assert same(algebra.weighted_mean([a, a], [w, v]), a)


@given(updates(np.float32), updates(np.float32), updates(np.float32))
def test_the_order_of_names_changes_no_bit(a: Update, b: Update, c: Update) -> None:
    def turned(update: Update) -> Update:
        return dict(reversed(list(update.items())))

    one = algebra.weighted_mean([a, b, c], [1.0, 2.0, 3.0])
    other = algebra.weighted_mean([turned(a), turned(b), turned(c)], [1.0, 2.0, 3.0])
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)
    assert algebra.dot(a, b) == algebra.dot(turned(a), turned(b))


def test_hand_checkable_numbers() -> None:
    one, three = {"w": np.array([1.0, 2.0])}, {"w": np.array([3.0, 6.0])}
    assert algebra.weighted_mean([one, three], [3.0, 1.0])["w"].tolist() == [1.5, 3.0]
    assert algebra.norm({"a": np.array([3.0]), "b": np.array([4.0])}) == 5.0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_results_keep_the_dtype_and_the_inputs_their_values(dtype: type) -> None:
    a = {"w": np.array([1.0, 2.0], dtype)}
    kept = a["w"].copy()
    for result in (algebra.difference(a, a), algebra.scale(a, 0.5), algebra.weighted_mean([a, a], [1, 1])):
        assert result["w"].dtype == dtype
    assert (a["w"] == kept).all()


def test_many_small_updates_are_not_lost_in_float32() -> None:
    many = [{"w": np.array([1.0 + 1e-6], np.float32)}] * 1000
    assert algebra.weighted_mean(many, [1.0] * 1000)["w"][0] == np.float32(1.0 + 1e-6)


def test_the_blocks_of_a_large_tensor_are_summed_like_one() -> None:
    rng = np.random.default_rng(0)
    parts = [{"w": rng.normal(size=(3, algebra.BLOCK + 5))} for _ in range(3)]
    mean = algebra.weighted_mean(parts, [1.0, 2.0, 5.0])["w"]
    np.testing.assert_allclose(mean, np.average([p["w"] for p in parts], axis=0, weights=[1.0, 2.0, 5.0]), atol=1e-15)


ONE = {"w": np.ones(2)}


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, -1.0], [math.nan, 1.0], [math.inf, 1.0], [1.0]])
def test_weights_that_make_no_mean_are_refused(weights: list[float]) -> None:
    with pytest.raises(UpdateError):
        algebra.weighted_mean([ONE, ONE], weights)


def test_a_mean_of_nothing_is_refused() -> None:
    with pytest.raises(UpdateError, match="keep the model"):
        algebra.weighted_mean([], [])


@pytest.mark.parametrize("other", [{"v": np.ones(2)}, {"w": np.ones(3)}, {"w": np.ones((2, 1))}, {}])
def test_updates_of_another_form_are_refused_by_name(other: Update) -> None:
    for operation in (algebra.difference, algebra.dot):
        with pytest.raises(UpdateError, match="w"):
            operation(ONE, other)
    with pytest.raises(UpdateError):
        algebra.weighted_mean([ONE, other], [1.0, 1.0])
