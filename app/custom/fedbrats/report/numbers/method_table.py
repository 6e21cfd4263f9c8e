"""The tables of `fedbrats compare`: every method at its own hospitals' patients, and at a hospital that nobody knew."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedbrats.report.numbers.comparison import SEED, difference_of, interval_of
from fedbrats.report.numbers.conditions import CONDITIONS, differing_variables
from fedbrats.report.numbers.folds import pool_folds
from fedbrats.report.numbers.records import ALONE, CENTRALISED, COMMON, Record, as_results
from fedbrats.report.numbers.results import Results
from fedbrats.report.numbers.statistics import (
    LEAST_PATIENTS,
    bootstrap_interval,
    hierarchical_interval,
    holm,
)
from fedbrats.rows import REGIONS_AND_MEAN

MEANS = ("iou", "lesion_dice", "surface_dice_1mm", "surface_dice_2mm")
Row = dict[str, Any]


def name_of(record: Record, usual: Mapping[str, Any]) -> str:
    """A method with what else was asked of this run than of the others: settings, and harm."""
    unlike = [f"{key}={value}" for key, value in sorted((record.get("settings") or {}).items()) if key not in usual]
    unlike += [f"{site} {kind}" for site, kind in sorted((record.get("misbehaviour") or {}).items())]
    return f"{record['method']} ({', '.join(unlike)})" if unlike else str(record["method"])


def own_patients(records: Iterable[Record], against: str = ALONE) -> list[Row]:
    """One row a split and method, over its folds and seeds: the validation patients of the sites that trained.

    `difference` is to the method `against` on the same patients, with `p` corrected for the methods of the split.
    Folds and seeds of one method that cannot be pooled, because variables differ, have rows of their own.
    """
    records = _with_known_variables([record for record in records if not record.get("left_out")])
    rows: list[Row] = []
    for split in dict.fromkeys(record["split"] for record in records):
        own = [record for record in records if record["split"] == split]
        usual = _common_settings(own)
        methods = pool_folds([as_results(record, name_of(record, usual)) for record in own])
        table = [_row_of(split, method, [r for r in own if name_of(r, usual) == method.method]) for method in methods]
        _compare(table, methods, against)
        rows += table
    return rows


def new_hospitals(records: Iterable[Record]) -> list[Row]:
    """One row a split, place and model: the mean over patients that nobody trained on, over the runs of a method.

    Where sites have their own models there are two rows: the mean of the single hospitals' models, which is what a new
    hospital can expect of one of them, and the best, which nobody knows beforehand.
    """
    records = list(records)
    found: dict[tuple[str, str, str], list[NDArray[np.float64]]] = defaultdict(list)
    usual = _common_settings(records)
    for record in records:
        singles: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
        for entry in record.get("elsewhere") or ():
            dice = np.array([np.mean(list(score["dice"].values())) for score in entry["patients"]])
            where = "hospital left out" if record.get("left_out") else entry["where"]
            if entry["model"] == COMMON:
                found[record["split"], where, name_of(record, usual)].append(dice)
            else:
                singles[where].append(dice)
        for where, own in singles.items():
            name = name_of(record, usual)
            found[record["split"], where, f"{name}: mean of the hospitals' models"].append(np.mean(own, axis=0))
            found[record["split"], where, f"{name}: best of them"].append(max(own, key=np.mean))
    rows = []
    for (split, where, name), values in found.items():
        pooled = where == "hospital left out"  # other patients in each run
        matrix = np.concatenate(values)[None] if pooled else np.stack([v for v in values if len(v) == len(values[0])])
        interval = None
        if matrix.shape[1] >= LEAST_PATIENTS:
            one = len(matrix) == 1
            interval = bootstrap_interval(matrix[0], SEED) if one else hierarchical_interval(matrix, SEED)
        rows.append(
            {
                "split": split,
                "where": where,
                "model": name,
                "runs": len(values),
                "patients": matrix.shape[1],
                "dice": float(matrix.mean()),
                "low": interval.low if interval else None,
                "high": interval.high if interval else None,
                "values": None if interval else [round(float(v), 4) for v in matrix.mean(axis=0)],
            }
        )
    return rows


def unlike_conditions(records: Sequence[Record]) -> list[str]:
    """Sentences about what else than the method differs between the runs: variables, budgets, data."""
    said = []
    variables = differing_variables([record.get("variables") or {} for record in records])
    free = {"personal", "personal_rounds", "aggregator", "aggregator_arguments"}
    if names := [name for name in variables if name not in free]:
        said.append(f"variables that are not the same in all runs: {', '.join(names)}")
    steps = {record["method"]: (_budget_of(record)["steps"], _budget_of(record)["rounds"]) for record in records}
    if len(set(steps.values())) > 1:
        each = "; ".join(f"{name} {count[0]} in {count[1]} rounds" for name, count in steps.items())
        said.append(f"steps over all sites in a run: {each}")
    if len({record.get("seed") for record in records}) == 1:
        said.append("one seed: no interval and no p says how far a number depends on it")
    return said


def _row_of(split: str, method: Results, records: Sequence[Record]) -> Row:
    interval = interval_of(method, "mean")
    own = method.dice_by_patient("mean")
    by_site: dict[str, list[float]] = defaultdict(list)
    for (site, _), value in own.items():
        by_site[str(site)].append(value)
    sites = {site: float(np.mean(values)) for site, values in sorted(by_site.items())}
    regions = {region: float(np.mean(list(method.dice_by_patient(region).values()))) for region in REGIONS_AND_MEAN}
    row: Row = {"split": split, "method": method.name, "patients": len(own), "seeds": method.seeds}
    row |= {"folds": len({record["fold"] for record in records}), "dice": regions.pop("mean")}
    row |= {"low": interval.low if interval else None, "high": interval.high if interval else None}
    row |= {"values": None if interval else [round(value, 4) for value in own.values()], **regions}
    for metric in MEANS:
        values = list(method.values_by_patient(metric, "mean").values())
        row[metric] = float(np.mean(values)) if values else None
    distances = list(method.values_by_patient("hd95_mm", "mean").values())
    row["hd95_mm_median"] = statistics.median(distances) if distances else None
    row |= {"worst_site": min(sites, key=lambda site: sites[site]), "worst_dice": min(sites.values()), "sites": sites}
    budgets = [_budget_of(record) for record in records]
    row |= {"steps": budgets[0]["steps"], "rounds": budgets[0]["rounds"], "bytes": budgets[0]["bytes"]}
    row["seconds"] = statistics.mean(record["seconds"] for record in records)
    return row


def _compare(table: list[Row], methods: Sequence[Results], against: str) -> None:
    """Add to each row its difference to the method `against`, and its share of the centralised Dice."""
    by_method = {method.method: method for method in methods}
    other, central = by_method.get(against), by_method.get(CENTRALISED)
    differences = []
    for row, method in zip(table, methods, strict=True):
        same = other is not None and other is not method and method.has_patients_of(other)
        differences.append(difference_of(method, other, "mean") if same and other is not None else None)
        pooled = central is not None and method.has_patients_of(central)
        middle = central.dice_by_patient("mean") if pooled and central is not None else {}
        row["of_centralised"] = row["dice"] / float(np.mean(list(middle.values()))) if middle else None
        row["against"] = against if same else None
        theirs: dict[str, float] = next(
            (each["sites"] for each, m in zip(table, methods, strict=True) if m is other), {}
        )
        gaps = {site: dice - theirs[site] for site, dice in row["sites"].items() if site in theirs}
        row["worst_difference_at_a_site"] = min(gaps.values()) if gaps and same else None
    corrected = holm([each.p for each in differences if each])[::-1]
    for row, each in zip(table, differences, strict=True):
        row["difference"] = each.mean if each else None
        row["difference_low"], row["difference_high"] = (each.low, each.high) if each else (None, None)
        row["p"] = corrected.pop() if each else None


def _with_known_variables(records: Sequence[Record]) -> list[Record]:
    """The lines, without variables that an older version did not have: nobody asked for them, as `settings` say."""
    known = [set(record["variables"]) for record in records if record.get("variables") and "id" in record]
    both = set.intersection(*known) if known else set()
    return [
        {**record, "variables": {name: record["variables"][name] for name in record["variables"] if name in both}}
        if record.get("variables") and "id" in record
        else record
        for record in records
    ]


def _common_settings(records: Sequence[Record]) -> dict[str, Any]:
    """The settings that are asked of every run."""
    settings = [record.get("settings") or {} for record in records]
    return {
        key: value
        for key, value in (settings[0] if settings else {}).items()
        if all(key in s and s[key] == value for s in settings)
    }


def _budget_of(record: Record) -> dict[str, Any]:
    return {"steps": None, "rounds": None, "bytes": None, **((record.get(CONDITIONS) or {}).get("budget") or {})}
