"""The results table: methods by regions, with intervals, and what the patients cannot tell apart said so.

Only methods that were scored on the same patients are ranked: a mean over other patients is neither better nor worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedbrats.report.numbers.results import Patient, Results, match_patients
from fedbrats.report.numbers.statistics import (
    Interval,
    bootstrap_interval,
    common_values,
    paired_difference,
)
from fedbrats.rows import REGIONS_AND_MEAN

SEED = 0  # of the bootstrap


@dataclass(frozen=True)
class Cell:
    """A method's Dice in a region. `p` is of the paired test against the best method; None where that cannot be.

    interval is None where single cases are not known, as in a production federation: they stay at their sites.
    is_ranked: whether it was scored on the patients of the ranked methods; one that was not is neither best nor a tie.
    """

    dice: float
    interval: Interval | None
    is_ranked: bool
    is_best: bool
    is_tie: bool
    p: float | None


def compare(runs: Sequence[Results]) -> dict[str, dict[str, Cell]]:
    """`{method: {region: cell}}`; a tie is a method that these patients cannot tell from the best one.

    Ranked are the methods with the same patients; where several sets of patients have two methods or more, the largest.
    Without two methods on the same patients none of several is ranked.
    """
    table: dict[str, dict[str, Cell]] = {run.name: {} for run in runs}
    ranked = _choose_ranked(runs)
    for region in REGIONS_AND_MEAN:
        patients = {run.name: run.dice_by_patient(region) for run in runs}
        dice = {run.name: _dice_of(run, region, patients[run.name]) for run in runs}
        known = {name: value for name, value in dice.items() if value is not None}
        best = max((name for name in known if name in ranked), key=lambda name: known[name], default=None)
        for name, value in known.items():
            own = patients[name]
            interval = bootstrap_interval(list(own.values()), SEED) if own else None
            is_tie, p = False, None
            if best is not None and name in ranked and name != best:
                first, second = common_values(*match_patients(own, patients[best]))
                if first:
                    difference = paired_difference(first, second, SEED)
                    is_tie, p = difference.is_tie, difference.p
            table[name][region] = Cell(value, interval, name in ranked, name == best, is_tie, p)
    return table


def _choose_ranked(runs: Sequence[Results]) -> set[str]:
    """The names of the methods that can be ranked together."""
    known = [run for run in runs if _dice_of(run, "mean", run.dice_by_patient("mean")) is not None]
    groups = [[other for other in known if other.has_patients_of(run)] for run in known]
    if len(known) > 1:
        groups = [group for group in groups if len(group) > 1]
    return {run.name for run in max(groups, key=lambda group: (group[0].scored, len(group)), default=[])}


def _dice_of(run: Results, region: str, patients: Mapping[Patient, float]) -> float | None:
    """Over patients where single cases are known, else as the summary has it."""
    if patients:
        return sum(patients.values()) / len(patients)
    return (run.summary.get("dice") or {}).get(region)
