"""The results table: methods by regions, with intervals, and what the patients cannot tell apart said so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedbrats.report.results import Results
from fedbrats.report.statistics import Interval, bootstrap_interval, common_values, paired_difference
from fedbrats.rows import REGIONS_AND_MEAN

SEED = 0  # of the bootstrap


@dataclass(frozen=True)
class Cell:
    """A method's Dice in a region. `p` is of the paired test against the best method; None without common patients.

    interval is None where single cases are not known, as in a production federation: they stay at their sites.
    """

    dice: float
    interval: Interval | None
    is_best: bool
    is_tie: bool
    p: float | None


def compare(runs: Sequence[Results]) -> dict[str, dict[str, Cell]]:
    """`{method: {region: cell}}`; a tie is a method that these patients cannot tell from the best one."""
    table: dict[str, dict[str, Cell]] = {run.name: {} for run in runs}
    for region in REGIONS_AND_MEAN:
        patients = {run.name: run.dice_by_patient(region) for run in runs}
        dice = {run.name: _dice_of(run, region, patients[run.name]) for run in runs}
        known = {name: value for name, value in dice.items() if value is not None}
        best = max(known, key=lambda name: known[name], default=None)
        for name, value in known.items():
            own = patients[name]
            interval = bootstrap_interval(list(own.values()), SEED) if own else None
            is_tie, p = False, None
            if best is not None and name != best:
                first, second = common_values(own, patients[best])
                if first:
                    difference = paired_difference(first, second, SEED)
                    is_tie, p = difference.is_tie, difference.p
            table[name][region] = Cell(value, interval, name == best, is_tie, p)
    return table


def _dice_of(run: Results, region: str, patients: dict[str, float]) -> float | None:
    """Over patients where single cases are known, else as the summary has it."""
    if patients:
        return sum(patients.values()) / len(patients)
    return (run.summary.get("dice") or {}).get(region)
