"""A finished run in one line: what it was, and its scores by patient, who are numbers. Lines can be published.

A file of lines is what `fedbrats sweep` keeps; the folders of its runs may go. Patients are numbered in the order of
their names over all sites, so that every run on the same cases numbers them alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedbrats.data.cases.datalist import find_sites, read_datalist
from fedbrats.data.regions import REGIONS
from fedbrats.errors import DataError
from fedbrats.model.metrics import DETAILED_METRICS
from fedbrats.report.numbers.conditions import CONDITIONS
from fedbrats.report.numbers.results import Results, read_results
from fedbrats.rows import Row, learning_curve, read_rows

RUNS_FILE = "runs.jsonl"
CENTRALISED, ALONE = "centralised", "local_only"
COMMON = "common"  # in `elsewhere`: the model of all sites together; any other name is the site whose own model it is
Record = dict[str, Any]


def run_id(about: Mapping[str, Any]) -> str:
    """What tells a run from every other: twelve digits of the SHA-256 of what is asked of it."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]


def make_record(about: Mapping[str, Any], folder: Path, sites_dir: Path, elsewhere: Sequence[Record] = ()) -> Record:
    """The line of a finished run.

    Args:
        about: what was asked: split, fold, seed, method, settings, left_out, misbehaviour, engine.
        folder: its results.
        sites_dir: the sites that it was trained on.
        elsewhere: scores at sites that nobody trained on, as `score_elsewhere` gives them.
    """
    (results,) = read_results([folder])
    numbers = number_patients(sites_dir)
    patients = [
        {"patient": numbers[row["patient"]], "site": row.get("site") or site, **_metrics_of(row)}
        for site, own in results.cases.items()
        for row in own
    ]
    training = {row["site"]: row["training_cases"] for row in results.counted_answers()}
    return {
        "id": run_id(about),
        **about,
        "version": next((row["version"] for row in results.of_kind("job") if "version" in row), None),
        "seconds": round(results.summary["seconds"]),
        CONDITIONS: results.summary.get(CONDITIONS),
        "variables": results.summary.get("variables"),
        "training_cases": training,
        "curve": [round(dice, 4) for dice in learning_curve(results.rows).values()],
        "weights": _weights_of(results),
        "patients": sorted(patients, key=lambda score: score["patient"]),
        "elsewhere": list(elsewhere),
    }


def record_of_folder(folder: Path) -> Record:
    """The line of a results folder that no sweep made; its patients are numbered among themselves, by name.

    Raises: DataError for a folder without results, or without scores by case.
    """
    (results,) = read_results([folder])
    if not any(results.cases.values()):
        raise DataError(f"{folder} has no scores by case (of a federation elsewhere they stay at the sites)")
    names = {name: number for number, name in enumerate(sorted({name for _, name in results.mean_dice}))}
    said = results.summary.get(CONDITIONS) or {}
    split = said.get("split") or {}
    pooled = results.summary.get("job") == "train"
    return {
        "split": str(split.get("by") or said.get("data") or "given")[:20],
        "fold": split.get("fold") or 0,
        "seed": said.get("seed", (results.summary.get("variables") or {}).get("seed")),
        "method": CENTRALISED if pooled else results.summary.get("job", folder.name),
        "settings": {},
        "left_out": None,
        "misbehaviour": results.misbehaviour,
        "seconds": results.summary.get("seconds", 0),
        CONDITIONS: said,
        "variables": results.summary.get("variables"),
        "training_cases": {row["site"]: row["training_cases"] for row in results.counted_answers()},
        "patients": [
            {"patient": names[row.get("patient", row["case"])], "site": row.get("site") or site, **_metrics_of(row)}
            for site, own in results.cases.items()
            for row in own
        ],
        "elsewhere": [],
    }


def number_patients(sites_dir: Path) -> dict[str, int]:
    """Every patient's number, in the order of their names over all sites."""
    lists = [read_datalist(site) for site in find_sites(sites_dir)]
    return {name: number for number, name in enumerate(sorted({case.patient for own in lists for case in own.cases}))}


def score_elsewhere(where: str, model: str, document: Mapping[str, Any]) -> Record:
    """An entry of `elsewhere` from the JSON of `fedbrats evaluate`.

    Args:
        where: the cases, such as `outside`, or the name of the site that was left out.
        model: COMMON, or the site whose own model it is.
    """
    scores = sorted(document["scores"], key=lambda score: (score["patient"], score["case"]))
    names = {name: number for number, name in enumerate(sorted({score["patient"] for score in scores}))}
    patients = [{"patient": names[score["patient"]], **_metrics_of(score)} for score in scores]
    return {"where": where, "model": model, "patients": patients}


def read_records(path: Path) -> list[Record]:
    """The lines of a file. Raises: DataError where it is none of `fedbrats sweep`."""
    try:
        records = [dict(row) for row in read_rows(path)]
        for number, record in enumerate(records, start=1):
            if lacking := [name for name in ("method", "split", "fold", "seconds", "patients") if name not in record]:
                raise ValueError(f"line {number} has no {lacking[0]}")
            if not record["patients"] or not all(
                {"site", "patient", "dice"} <= score.keys() for score in record["patients"]
            ):
                raise ValueError(f"line {number} has no patients with a site and a Dice")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is no file of lines that `fedbrats sweep` writes: {error}") from None
    return records


def as_results(record: Record, name: str) -> Results:
    """A line as the results of a run, for what compares those."""
    cases: dict[str, list[Row]] = {}
    for score in record["patients"]:
        row = {"case": str(score["patient"]), **score, "patient": str(score["patient"]), "stage": "final"}
        cases.setdefault(score["site"], []).append(row)
    training = record.get("training_cases") or {}
    rows: list[Row] = [
        {"kind": "site", "round": 0, "site": site, "accepted": True, "training_cases": count}
        for site, count in training.items()
    ]
    summary: dict[str, Any] = {
        "job": name,
        "variables": {**(record.get("variables") or {}), "seed": record.get("seed")},
    }
    summary |= {CONDITIONS: record.get(CONDITIONS), "seconds": record.get("seconds")}
    return Results(name, name, Path(record.get("id", "")), summary, rows, cases, None, {})


def _metrics_of(row: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    return {
        metric: {region: None if row[metric][region] is None else round(row[metric][region], 5) for region in REGIONS}
        for metric in DETAILED_METRICS
        if row.get(metric)
    }


def _weights_of(results: Results) -> dict[str, list[float | None]]:
    """Each site's weight by round, times what clipping has left of its update."""
    found: dict[str, list[float | None]] = {}
    for row in results.of_kind("weight"):
        weight = row.get("influence")
        if weight is None and row.get("weight") is not None:
            weight = row["weight"] * row.get("clip_scale", 1.0)
        found.setdefault(row["site"], []).append(None if weight is None else round(weight, 4))
    return found


def known_ids(records: Iterable[Record]) -> set[str]:
    """The ids of the runs on record."""
    return {record["id"] for record in records if "id" in record}
