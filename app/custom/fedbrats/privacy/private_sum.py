"""The private step: gradients of patients, each clipped, summed, and covered by noise.

DP-SGD (Abadi et al. 2016, arXiv:1607.00133) with the patient as the unit: neighbouring data sets differ by one patient
with all of its cases.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedbrats.errors import DataError
from fedbrats.privacy.noise import SecretRandom


def clip(gradient: NDArray[np.floating], limit: float) -> NDArray[np.float64]:
    """The gradient in float64, shortened to the norm `limit` where it is longer; zeros where it is not finite."""
    wide = np.asarray(gradient, dtype=np.float64)
    with np.errstate(over="ignore"):
        norm = float(np.linalg.norm(wide))
    if not np.isfinite(norm):
        return np.zeros_like(wide)
    return wide * min(1.0, limit / norm) if norm > 0 else wide


def sample(patients: Sequence[str], rate: float, random: SecretRandom) -> list[str]:
    """Each patient with the probability `rate`, whatever becomes of the others (Poisson sampling)."""
    return [each for each, draw in zip(patients, random.uniform(len(patients)), strict=True) if draw <= rate]


class PrivateSum:
    """The sum of one step: every patient adds at most `limit` to it, and it leaves with noise only.

    Args:
        length: of a gradient.
        limit: the largest norm of a patient's part.
        noise: standard deviation of the noise in every coordinate, as a multiple of `limit`.
    """

    def __init__(self, length: int, limit: float, noise: float, random: SecretRandom) -> None:
        self._sum = np.zeros(length)
        self._limit = limit
        self._noise = noise
        self._random = random
        self._counted: set[str] = set()

    def add(self, patient: str, gradient: NDArray[np.floating]) -> None:
        """Count a patient. Raises: DataError for one who has been counted: the bound is of a patient, not of a case."""
        if patient in self._counted:
            raise DataError("a patient was counted twice in one private step; nothing of this round is sent")
        self._counted.add(patient)
        self._sum += clip(gradient, self._limit)

    def release(self, expected: float) -> NDArray[np.float64]:
        """The noisy mean (length,), by the expected number of patients and not by how many there were."""
        noise = self._noise * self._limit * self._random.gaussian(self._sum.size)
        return (self._sum + noise) / expected
