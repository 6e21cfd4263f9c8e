"""What can be said of scores over patients: intervals, differences on the same patients, the worst site and the gap.

Every interval is a percentile bootstrap over patients (Efron 1979, doi 10.1214/aos/1176344552; made by
`scipy.stats.bootstrap`): as many patients as there are get drawn with replacement, RESAMPLES times, and the mean is
taken of each draw. It says how far a result depends on which patients happened to be there, not how far it depends on
the seed of the training. The seed starts numpy's default generator; the same seed gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Patient = TypeVar("Patient", bound=Any)  # whatever tells patients apart; can be a key, and sorted

LEVEL = 0.95
RESAMPLES = 10_000
_BATCH = 1_000  # resamples drawn at once, which bounds the memory


@dataclass(frozen=True)
class Interval:
    """A mean over patients, and the interval that holds 95 % of the bootstrap's means."""

    mean: float
    low: float
    high: float
    patients: int


@dataclass(frozen=True)
class PairedDifference:
    """The mean of a - b over the same patients, its 95 % interval, and the p-value of "there is no difference"."""

    mean: float
    low: float
    high: float
    p: float
    patients: int

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
