"""The results table: methods by regions, with intervals, and what the patients cannot tell apart said so.

Only methods that were scored on the same patients are ranked: a mean over other patients is neither better nor worse.
Where a method was trained with several seeds, intervals and p-values draw seeds too. The p-values of one region are
corrected for the number of methods (Holm 1979).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedbrats.report.numbers.results import Patient, Results, match_patients
from fedbrats.report.numbers.statistics import (
    LEAST_PATIENTS,
    LEVEL,
    Interval,
    PairedDifference,
    bootstrap_interval,
    hierarchical_difference,
    hierarchical_interval,
    holm,
    paired_difference,
)
from fedbrats.rows import REGIONS_AND_MEAN

SEED = 0  # of the bootstrap


@dataclass(frozen=True)
class Cell:
    """A method's Dice in a region.

    `p` is of the test against the best method, corrected for the number of methods; None where that cannot be, and
    below LEAST_PATIENTS patients.

    interval is None where single cases are not known, as in a production federation: they stay at their sites; and
    below LEAST_PATIENTS patients, whose `values` stand there instead.
    seeds: of the method's trainings, and in a comparison the smaller number of the two.
    is_ranked: whether it was scored on the patients of the ranked methods; one that was not is neither best nor a tie.
    is_best: whether it is the highest; is_clear: whether these patients also tell it from every other ranked method.
    is_level: whether it is the highest or a tie with it, where there is a tie.
    """

    dice: float
    interval: Interval | None
    is_ranked: bool
    is_best: bool
    is_tie: bool
    p: float | None
    seeds: int = 1
    values: tuple[float, ...] = ()
    is_clear: bool = False
    is_level: bool = False


def compare(runs: Sequence[Results], regions: Sequence[str] = REGIONS_AND_MEAN) -> dict[str, dict[str, Cell]]:
    """`{method: {region: cell}}`; a tie is a method that these patients cannot tell from the best one.

    Ranked are the methods with the same patients; where several sets of patients have two methods or more, the largest.
    Without two methods on the same patients none of several is ranked.
    """
    table: dict[str, dict[str, Cell]] = {run.name: {} for run in runs}
    ranked = _choose_ranked(runs)
    for region in regions:
        patients = {run.name: run.dice_by_patient(region) for run in runs}
        dice = {run.name: _dice_of(run, region, patients[run.name]) for run in runs}
        known = {name: value for name, value in dice.items() if value is not None}
        best = max((name for name in known if name in ranked), key=lambda name: known[name], default=None)
        by_name = {run.name: run for run in runs}
        others = [name for name in known if best is not None and name in ranked and name != best]
        against = {name: difference_of(by_name[name], by_name[best], region) for name in others if best is not None}
        tested = {name: found for name, found in against.items() if found is not None}
        corrected = dict(zip(tested, holm([found.p for found in tested.values()]), strict=True))
        ties = {name for name, found in tested.items() if found.low <= 0 <= found.high or corrected[name] >= 1 - LEVEL}
        is_clear = bool(others) and len(tested) == len(others) and not ties
        for name, value in known.items():
            own = tuple(patients[name].values())
            few = 0 < len(own) < LEAST_PATIENTS
            table[name][region] = Cell(
                value,
                interval_of(by_name[name], region),
                name in ranked,
                name == best,
                name in ties,
                corrected.get(name),
                tested[name].seeds if name in tested else by_name[name].seeds,
                own if few else (),
                is_clear and name == best,
                name in ties or (bool(ties) and name == best),
            )
    return table


def interval_of(run: Results, region: str) -> Interval | None:
    """The interval of a method's Dice; None where single cases are not known or are too few to have one."""
    values = run.matrix(region)
    if values.shape[1] < LEAST_PATIENTS:
        return None
    return bootstrap_interval(values[0], SEED) if len(values) == 1 else hierarchical_interval(values, SEED)


def difference_of(a: Results, b: Results, region: str) -> PairedDifference | None:
    """How a differs from b on the patients that both have; None where these are too few."""
    ours, theirs = match_patients(a.dice_by_patient(region), b.dice_by_patient(region))
    both = sorted(ours.keys() & theirs.keys())
    if len(both) < LEAST_PATIENTS:
        return None
    if a.seeds == b.seeds == 1:
        return paired_difference([ours[p] for p in both], [theirs[p] for p in both], SEED)
    return hierarchical_difference(_rows_of(a, region, both), _rows_of(b, region, both), SEED)


def _rows_of(run: Results, region: str, patients: Sequence[Patient]) -> NDArray[np.float64]:
    """(seeds, patients), by the keys that two runs have in common."""
    if patients and patients[0][0] is None:  # by name alone
        each = [match_patients(one.dice_by_patient(region), {(None, ""): 0.0})[0] for one in run.by_seed or (run,)]
        return np.array([[own[patient] for patient in patients] for own in each])
    return run.matrix(region, patients)


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
