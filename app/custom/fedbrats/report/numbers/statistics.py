"""What can be said of scores over patients: intervals, differences on the same patients, the worst site and the gap.

Every interval is a percentile bootstrap over patients (Efron 1979, doi 10.1214/aos/1176344552; made by
`scipy.stats.bootstrap`): as many patients as there are get drawn with replacement, RESAMPLES times, and the mean is
taken of each draw. It says how far a result depends on which patients happened to be there. Where a method was trained
with several seeds, the seeds are drawn too (`hierarchical_interval`, `hierarchical_difference`); with one seed nothing
is known of how far the result depends on it. Below LEAST_PATIENTS patients there is no interval and no p: the values
stand for themselves. The seed starts numpy's default generator; the same seed gives the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Patient = TypeVar("Patient", bound=Any)  # whatever tells patients apart; can be a key, and sorted

LEVEL = 0.95
RESAMPLES = 10_000
LEAST_PATIENTS = 6  # the exact test of five pairs cannot reach p < 0.05 (2 / 2^5)
_ENDS = (50 * (1 - LEVEL), 50 * (1 + LEVEL))  # percentiles
_BATCH = 1_000  # resamples drawn at once, which bounds the memory


@dataclass(frozen=True)
class Interval:
    """A mean over patients, and the interval that holds 95 % of the bootstrap's means; of `seeds` trainings."""

    mean: float
    low: float
    high: float
    patients: int
    seeds: int = 1


@dataclass(frozen=True)
class PairedDifference:
    """The mean of a - b over the same patients, its 95 % interval, and the p-value of "there is no difference".

    `seeds` is the smaller number of trainings of the two methods.
    """

    mean: float
    low: float
    high: float
    p: float
    patients: int
    seeds: int = 1

    @property
    def is_tie(self) -> bool:
        """Whether these patients cannot tell a from b: the interval holds 0, or the test does not reject."""
        return self.low <= 0 <= self.high or self.p >= 1 - LEVEL


@dataclass(frozen=True)
class Aggregate:
    """Scores of several sites' patients in a few numbers.

    worst_site and gap (the best site's mean less the worst one's, without sign) are None where there is one site only.
    """

    interval: Interval
    median: float
    site_means: dict[str, float]
    worst_site: str | None
    gap: float | None


def bootstrap_interval(values: Sequence[float] | NDArray[np.floating], seed: int) -> Interval:
    """The mean of one value a patient, with its interval; the same seed gives the same numbers.

    Raises: ValueError if there is no value or one that is not finite.
    """
    array = _as_values(values)
    low, high = _interval(array, seed)
    return Interval(float(array.mean()), low, high, len(array))


def paired_difference(
    a: Sequence[float] | NDArray[np.floating], b: Sequence[float] | NDArray[np.floating], seed: int
) -> PairedDifference:
    """Compare two methods by one value a patient each, in the same order of the same patients.

    The p-value is two-sided, of the permutation test that exchanges a and b within patients (Good 2005, chapter 3;
    `scipy.stats.permutation_test`): the share of exchanges that give a mean difference at least as large. All exchanges
    are tried where there are no more than RESAMPLES of them (up to 13 patients), else so many are drawn at random.
    Raises: ValueError if the lengths differ, there is no value, or one is not finite.
    """
    first, second = _as_values(a), _as_values(b)
    if len(first) != len(second):
        raise ValueError(f"there are {len(first)} values of one method and {len(second)} of the other")
    difference = first - second
    low, high = _interval(difference, seed)
    return PairedDifference(float(difference.mean()), low, high, _p_value(difference, seed), len(difference))


def hierarchical_interval(values: NDArray[np.floating], seed: int) -> Interval:
    """The mean of (seeds, patients) values of one method, with an interval for which both are drawn anew.

    Raises: ValueError if there is no value or one that is not finite.
    """
    matrix = _as_matrix(values)
    means = _draw_means(matrix, np.random.default_rng(seed))
    low, high = np.percentile(means, _ENDS)
    return Interval(float(matrix.mean()), float(low), float(high), matrix.shape[1], matrix.shape[0])


def hierarchical_difference(a: NDArray[np.floating], b: NDArray[np.floating], seed: int) -> PairedDifference:
    """Compare (seeds, patients) values of two methods on the same patients, in the same order; seeds may be others.

    A draw takes seeds of a, seeds of b and patients, the same for both (Davison and Hinkley 1997, chapter 3.8). The
    p-value is two-sided, twice the share of draws on the rarer side of 0. Two or three seeds are drawn too narrowly, so
    that the differences of the seeds' means are widened by sqrt(S / (S - 1)).
    Raises: ValueError if the patients' numbers differ, there is no value, or one is not finite.
    """
    first, second = _as_matrix(a), _as_matrix(b)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"there are {first.shape[1]} patients of one method and {second.shape[1]} of the other")
    rng = np.random.default_rng(seed)
    patients = rng.multinomial(first.shape[1], [1 / first.shape[1]] * first.shape[1], RESAMPLES) / first.shape[1]
    draws = _draw_means(first, rng, patients) - _draw_means(second, rng, patients)
    low, high = np.percentile(draws, _ENDS)
    rarer = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    p = min(1.0, 2 * (rarer + 1) / (RESAMPLES + 1))
    mean = float(first.mean() - second.mean())
    return PairedDifference(mean, float(low), float(high), p, first.shape[1], min(len(first), len(second)))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of several comparisons, corrected (Holm 1979): in order, each times how many are left, never
    falling, at most 1."""
    order = np.argsort(p_values, kind="stable")
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, number in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * float(p_values[number])))
        corrected[number] = highest
    return corrected


def common_values(a: Mapping[Patient, float], b: Mapping[Patient, float]) -> tuple[list[float], list[float]]:
    """The values of the patients that both mappings have, in one order: what `paired_difference` takes."""
    both = sorted(a.keys() & b.keys())
    return [a[patient] for patient in both], [b[patient] for patient in both]


def mean_by_patient(values: Iterable[tuple[Patient, float]]) -> dict[Patient, float]:
    """One value a patient from (patient, value) of every case: two scans of one patient are no two patients."""
    found: dict[Patient, list[float]] = {}
    for patient, value in values:
        found.setdefault(patient, []).append(value)
    return {patient: float(np.mean(own)) for patient, own in found.items()}


def aggregate(
    values: Mapping[str, Mapping[str, float]], seed: int, *, lower_is_better: bool = False
) -> Aggregate | None:
    """Aggregate `{site: {patient: value}}`; sites without patients are left out, and None is given if none is left."""
    sites = {site: list(own.values()) for site, own in sorted(values.items()) if own}
    if not sites:
        return None
    pooled = [value for own in sites.values() for value in own]
    means = {site: float(np.mean(own)) for site, own in sites.items()}
    ranked = sorted(means, key=lambda site: means[site], reverse=lower_is_better)
    several = len(means) > 1
    return Aggregate(
        bootstrap_interval(pooled, seed),
        float(np.median(pooled)),
        means,
        worst_site=ranked[0] if several else None,
        gap=abs(means[ranked[-1]] - means[ranked[0]]) if several else None,
    )


def _as_matrix(values: NDArray[np.floating]) -> NDArray[np.float64]:
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2 or not matrix.size or not np.isfinite(matrix).all():
        raise ValueError("expected finite values of at least one seed by at least one patient")
    return matrix


def _draw_means(
    matrix: NDArray[np.float64], rng: np.random.Generator, patients: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """(RESAMPLES,) means of (seeds, patients) values, of drawn seeds and of patients that are drawn here or given."""
    seeds, count = matrix.shape
    if patients is None:
        patients = rng.multinomial(count, [1 / count] * count, RESAMPLES) / count
    shares = rng.multinomial(seeds, [1 / seeds] * seeds, RESAMPLES) / seeds
    middle = matrix.mean(axis=0)
    widened = math.sqrt(seeds / (seeds - 1)) if seeds > 1 else 1.0
    return patients @ middle + widened * np.einsum("rs,sp,rp->r", shares, matrix - middle, patients)


def _as_values(values: Sequence[float] | NDArray[np.floating]) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ValueError("expected one finite value a patient, and at least one patient")
    return array


def _interval(values: NDArray[np.float64], seed: int) -> tuple[float, float]:
    """The ends of the interval of the mean; of a single value that value, which scipy does not resample."""
    from scipy.stats import bootstrap

    if len(values) == 1:
        return float(values[0]), float(values[0])
    found = bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=_BATCH,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def _p_value(difference: NDArray[np.float64], seed: int) -> float:
    """Of the test that changes the sign of each patient's difference; 1 for a single patient."""
    from scipy.stats import permutation_test

    if len(difference) == 1:
        return 1.0
    found = permutation_test(
        (difference,),
        lambda values, axis: np.abs(np.mean(values, axis=axis)),
        permutation_type="samples",
        alternative="greater",
        n_resamples=RESAMPLES,
        batch=_BATCH,
        rng=np.random.default_rng([seed, 1]),
    )
    return float(found.pvalue)
