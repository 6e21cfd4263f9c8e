"""What an update must be to be counted: in time, named, shaped, finite, not empty, and from as many cases as are known.

A closed gate is a `Refusal`: a row with the site, the round, a reason from `REASONS` and one sentence, never silence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fedbrats.errors import UpdateError
from fedbrats.federation import updates
from fedbrats.federation.averaging import Averaging
from fedbrats.federation.said import Said, check_said
from fedbrats.federation.updates import Update
from fedbrats.outside import show

REASONS = (
    "unreadable",  # what arrived is not a difference of weights with a report (said by who reads it, not by `check`)
    "duplicate",  # the site has already been counted in this round
    "round",  # the update answers another round
    "names",  # parameters are missing or unknown
    "dtype",  # a value is not an array of the expected kind of number
    "shape",  # an array has another shape than the model's
    "not_finite",  # NaN, infinity, or a length beyond float64
    "zero",  # nothing was learned, or nothing was sent
    "cases",  # the number of cases is not a positive whole number
    "too_many_cases",  # more cases than the site has registered
    "unregistered",  # cases are registered by site, and this one has none
    "said",  # what the job's method has sites say is missing, or not as it declares
)

MOST_CASES = 10**9  # of one site; a sum over sites stays a number


@dataclass(frozen=True)
class Expectation:
    """What every update of a round must look like.

    `shapes` holds the shared parameters (those that a site sends), by name; any floating type will do. `max_cases`
    holds the number of training cases that each site registered, None where nothing is registered.
    """

    shapes: Mapping[str, tuple[int, ...]]
    round_number: int
    max_cases: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Contribution:
    """What one site answered in one round.

    `usefulness` is the mean region Dice of its model after local training minus before, None where it was not measured;
    `clip_scale` is what clipping multiplied the update by (1 where it was left as it came); `minus_score`, for FedCE
    alone, is the error on the site's cases of the model without this site; `said` is what the job's method has sites
    say besides, by name.
    """

    site: str
    round_number: int
    cases: int
    steps: int
    update: Update
    usefulness: float | None = None
    clip_scale: float = 1.0
    minus_score: float | None = None
    said: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """Why an update is not counted: a reason from `REASONS` and a sentence for the person on call."""

    site: str
    round_number: int
    reason: str
    message: str


def check(
    contribution: Contribution,
    expectation: Expectation,
    already_answered: Set[str],
    hears: Mapping[str, Said] | None = None,
) -> Refusal | None:
    """The first reason not to count this contribution, or None where it may be counted.

    hears: what the job's method has every site say besides.
    """
    fault = (
        _fault_of_sender(contribution, expectation, already_answered)
        or _fault_of_form(contribution.update, expectation)
        or _fault_of_values(contribution.update)
        or _fault_of_cases(contribution, expectation)
        or _fault_of_said(contribution, hears or {})
    )
    if fault is None:
        return None
    reason, clause = fault
    message = f"The update of {contribution.site} in round {expectation.round_number} is not counted: {clause}."
    return Refusal(contribution.site, expectation.round_number, reason, message)


def clip_to_median(
    contributions: Sequence[Contribution], multiple: float = Averaging().clip_multiple
) -> tuple[list[Contribution], float, tuple[str, ...]]:
    """(contributions, limit, sites clipped): no update longer than `multiple` times the median length.

    The limit bounds what one site can do to the model in one round; it is 0.0 where nobody contributed.
    """
    if not contributions:
        return [], 0.0, ()
    lengths = [updates.norm(each.update) for each in contributions]
    limit = multiple * float(np.median(lengths))
    clipped = [_shorten(each, length, limit) for each, length in zip(contributions, lengths, strict=True)]
    return clipped, limit, tuple(each.site for each in clipped if each.clip_scale < 1.0)


def _shorten(contribution: Contribution, length: float, limit: float) -> Contribution:
    if length <= limit:
        return contribution
    ratio = limit / length
    return replace(contribution, update=updates.scale(contribution.update, ratio), clip_scale=ratio)


Fault = tuple[str, str]


def _fault_of_sender(contribution: Contribution, expectation: Expectation, already_answered: Set[str]) -> Fault | None:
    if contribution.site in already_answered:
        return "duplicate", "the site has already answered in this round"
    if contribution.round_number != expectation.round_number:
        return "round", f"it answers round {show(contribution.round_number)}"
    return None


def _fault_of_form(update: Update, expectation: Expectation) -> Fault | None:
    missing, unknown = expectation.shapes.keys() - update.keys(), update.keys() - expectation.shapes.keys()
    if missing or unknown:
        return (
            "names",
            f"{len(missing)} names are missing and {len(unknown)} unknown, such as '{show(min(missing | unknown))}'",
        )
    for name in sorted(update):
        array = update[name]
        if not isinstance(array, np.ndarray) or not np.issubdtype(array.dtype, np.floating):
            found = getattr(array, "dtype", type(array).__name__)
            return "dtype", f"'{name}' holds {found} where a floating type is expected"
        if array.shape != tuple(expectation.shapes[name]):
            return "shape", f"'{name}' has the shape {array.shape}, expected {tuple(expectation.shapes[name])}"
    return None


def _fault_of_values(update: Update) -> Fault | None:
    if not update:
        return None  # the names were as expected, so nothing is shared in this job
    for name in sorted(update):
        if not np.isfinite(update[name]).all():
            return "not_finite", f"'{name}' holds NaN or infinity"
    with np.errstate(over="ignore"):
        length = updates.norm(update)
    if not math.isfinite(length):
        return "not_finite", "its length is beyond what a number can hold"
    if length == 0.0:
        return "zero", "it changes nothing"
    return None


def _fault_of_cases(contribution: Contribution, expectation: Expectation) -> Fault | None:
    cases = contribution.cases
    said = show(repr(cases) if isinstance(cases, str) else cases)
    if isinstance(cases, bool) or not isinstance(cases, (int, np.integer)) or cases <= 0:
        return (
            "cases",
            f"it says that it comes from {said} cases, and a positive whole number is expected",
        )
    if cases > MOST_CASES:
        return "cases", f"it says that it comes from {said} cases, and at most {MOST_CASES} are believed"
    if expectation.max_cases is None:
        return None
    registered = expectation.max_cases.get(contribution.site)
    if registered is None:
        return "unregistered", "the site has not registered how many cases it holds"
    if cases > registered:
        return "too_many_cases", f"it says that it comes from {cases} cases, and the site registered {registered}"
    return None


def _fault_of_said(contribution: Contribution, hears: Mapping[str, Said]) -> Fault | None:
    if not contribution.update:
        return None  # a personal round: nothing of a method is shared
    try:
        check_said(contribution.said, hears, contribution.update, "the site", "`hears` of the server's method")
    except UpdateError as error:
        return "said", show(str(error), 200)
    return None
