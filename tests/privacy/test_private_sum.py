"""The private step: every patient bounded, noise of the right size, nobody counted twice; and wrong ones are found."""

import numpy as np
import pytest

from fedbrats.errors import DataError
from fedbrats.privacy import private_sum
from fedbrats.privacy.noise import SecretRandom
from fedbrats.privacy.private_sum import PrivateSum, clip, sample

LENGTH, LIMIT, NOISE = 20_000, 0.5, 3.0


def released(gradients, **changes):
    """What leaves, with a known key; the expected number of patients is 1."""
    settings = {"limit": LIMIT, "noise": NOISE, **changes}
    total = PrivateSum(LENGTH, settings["limit"], settings["noise"], SecretRandom(b"k" * 32))
    for number, gradient in enumerate(gradients):
        total.add(f"patient-{number}", gradient)
    return total.release(1.0)


def assert_bounded():
    """One patient more changes the sum by the limit at most, however long the gradient; the noise is the same."""
    for size in (1e-3, 1.0, 1e12):
        gradient = np.full(LENGTH, size)
        change = released([gradient]) - released([])
        assert np.linalg.norm(change) <= LIMIT * (1 + 1e-9)
        assert change @ gradient > 0


def assert_covered():
    """The noise has the deviation that is accounted for, to 3 %: 20 000 numbers tell it to 0.5 %."""
    assert released([]).std() == pytest.approx(NOISE * LIMIT, rel=0.03)


def test_a_patient_is_bounded_and_covered():
    assert_bounded()
    assert_covered()


def test_a_wrong_clip_is_found(monkeypatch):
    monkeypatch.setattr(private_sum, "clip", lambda gradient, limit: clip(gradient, 1.05 * limit))
    with pytest.raises(AssertionError):
        assert_bounded()
    monkeypatch.setattr(private_sum, "clip", lambda gradient, limit: np.clip(gradient, -limit, limit))  # by coordinate
    with pytest.raises(AssertionError):
        assert_bounded()


def test_noise_of_the_wrong_size_is_found(monkeypatch):
    honest = SecretRandom.gaussian
    for factor in (0.9, 1.1, 0.0):
        monkeypatch.setattr(SecretRandom, "gaussian", lambda self, count, f=factor: f * honest(self, count))
        with pytest.raises(AssertionError):
            assert_covered()


def test_a_patient_is_counted_once():
    total = PrivateSum(4, 1.0, 1.0, SecretRandom())
    total.add("one", np.ones(4))
    with pytest.raises(DataError, match="counted twice"):
        total.add("one", np.ones(4))


def test_a_gradient_that_is_not_finite_adds_nothing():
    assert not clip(np.array([1.0, np.nan]), 1.0).any()
    assert not clip(np.array([1e200, 1e200]), 1.0).any()
    assert np.array_equal(clip(np.zeros(3), 1.0), np.zeros(3))
    assert np.array_equal(clip(np.array([3.0, 4.0]), 10.0), [3.0, 4.0])


def test_the_mean_is_by_the_expected_number():
    total = PrivateSum(3, 1.0, 1e-12, SecretRandom())
    total.add("one", np.array([0.5, 0.0, 0.0]))
    assert total.release(4.0) == pytest.approx([0.125, 0.0, 0.0], abs=1e-9)


def test_sampling_is_as_often_as_it_says():
    random = SecretRandom(b"s" * 32)
    patients = [str(number) for number in range(20_000)]
    assert len(sample(patients, 0.3, random)) / 20_000 == pytest.approx(0.3, abs=0.02)
    assert sample(patients, 1.0, random) == patients


def test_secret_numbers_are_gaussian_and_new():
    numbers = SecretRandom(b"g" * 32).gaussian(100_001)
    assert len(numbers) == 100_001
    assert abs(numbers.mean()) < 0.02
    assert numbers.std() == pytest.approx(1.0, abs=0.02)
    assert (np.abs(numbers) < 1.96).mean() == pytest.approx(0.95, abs=0.01)
    assert not np.array_equal(SecretRandom().gaussian(4), SecretRandom().gaussian(4))
    same = SecretRandom(b"k" * 32)
    assert not np.array_equal(same.gaussian(4), same.gaussian(4))
