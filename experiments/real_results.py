"""The summary of the lines that `fedbrats sweep` has kept in runs.jsonl, for docs/results/results.md."""

from __future__ import annotations

import platform
import statistics
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fedbrats import __version__
from fedbrats.atomic import write_json_atomic
from fedbrats.data.regions import REGIONS
from fedbrats.report.numbers.statistics import bootstrap_interval, paired_difference
from fedbrats.rows import (
    read_rows,
)

SEED = 0
CENTRALISED = "centralised"
RUNS_FILE = "runs.jsonl"
METRICS = ("dice", "iou", "hd95_mm")
Record = Mapping[str, Any]  # split, fold, method, settings, seconds, curve, and patients: number, site and the metrics
Scores = dict[int, Record]  # by patient
Key = tuple[str, int, str]


def read_records(results: Path) -> dict[Key, Record]:
    """All runs on record."""
    path = results / RUNS_FILE
    records = read_rows(path) if path.exists() else []
    return {(record["split"], record["fold"], record["method"]): record for record in records}


def write_summary(results: Path, command: str) -> None:
    """Write one row for every method on every split, over all folds that are on record."""
    found: dict[tuple[str, str], Scores] = defaultdict(dict)
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (split, _, method), record in sorted(read_records(results).items()):
        found[split, method].update({score["patient"]: score for score in record["patients"]})
        seconds[split, method].append(record["seconds"])
    rows = [summary_row(split, method, scores, seconds[split, method]) for (split, method), scores in found.items()]
    means = {(row["split"], row["method"], row["patients"]): row["dice_mean"] for row in rows}
    for row in rows:
        central = means.get((row["split"], CENTRALISED, row["patients"]))
        row["ratio_to_centralised"] = round(row["dice_mean"] / central, 4) if central else None
        row["against_fedavg"] = compare(found, row, "fedavg")
        row["against_local_only"] = compare(found, row, "local_only")
        row["against_centralised"] = compare(found, row, CENTRALISED)
    splits = sorted({row["split"] for row in rows})
    best = {split: best_for_sites([row for row in rows if row["split"] == split]) for split in splits}
    write_json_atomic(results / "summary.json", {**provenance(command), "best_for_each_site": best, "rows": rows})


def summary_row(split: str, method: str, scores: Scores, seconds: list[float]) -> dict[str, Any]:
    """Means over patients with a bootstrap interval, by region and by site."""
    dice = {patient: mean(score["dice"]) for patient, score in scores.items()}
    interval = bootstrap_interval(list(dice.values()), seed=SEED)
    by_site: dict[str, list[float]] = defaultdict(list)
    for patient, value in dice.items():
        by_site[scores[patient]["site"]].append(value)
    per_site = {site: round(sum(own) / len(own), 4) for site, own in sorted(by_site.items())}
    row: dict[str, Any] = {
        "split": split,
        "method": method,
        "patients": interval.patients,
        "folds": len(seconds),
        "dice_mean": round(interval.mean, 4),
        "dice_low": round(interval.low, 4),
        "dice_high": round(interval.high, 4),
        "iou_mean": round(mean({p: mean(score["iou"]) for p, score in scores.items()}), 4),
        **surface_distances(scores),
    }
    for region in REGIONS:
        row[f"dice_{region}"] = round(mean({p: score["dice"][region] for p, score in scores.items()}), 4)
        row[f"iou_{region}"] = round(mean({p: score["iou"][region] for p, score in scores.items()}), 4)
    row["worst_site_dice"] = min(per_site.values())
    row["per_site"] = per_site
    row["seconds_per_fold"] = [round(value) for value in seconds]
    return row


def surface_distances(scores: Scores) -> dict[str, float]:
    """HD95 in mm, mean and median over patients and by region; nothing where some patient's was not measured.

    A region that was missed altogether counts as the diagonal of a scan, so that the mean tells of misses and the
    median of outlines.
    """
    if not all("hd95_mm" in score for score in scores.values()):
        return {}
    by_patient = [mean(score["hd95_mm"]) for score in scores.values()]
    regions = {
        f"hd95_{region}_median": statistics.median(score["hd95_mm"][region] for score in scores.values())
        for region in REGIONS
    }
    found = {"hd95_mean": statistics.fmean(by_patient), "hd95_median": statistics.median(by_patient), **regions}
    return {name: round(value, 2) for name, value in found.items()}


def compare(found: dict[tuple[str, str], Scores], row: dict[str, Any], other: str) -> dict[str, Any] | None:
    """The paired difference to another method on the same patients, where both have been run on them."""
    ours, theirs = found[row["split"], row["method"]], found.get((row["split"], other), {})
    if row["method"] == other or set(ours) != set(theirs):
        return None
    patients = sorted(ours)
    difference = paired_difference(
        [mean(ours[p]["dice"]) for p in patients], [mean(theirs[p]["dice"]) for p in patients], seed=SEED
    )
    numbers = {key: round(getattr(difference, key), 4) for key in ("mean", "low", "high", "p")}
    return {**numbers, "tie": difference.is_tie}


def best_for_sites(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """For every site: its Dice alone, with the best shared and the best personal model, and which of them is best."""
    kinds = {
        "local": ("local_only",),
        "federated": ("fedavg", "fedprox", "fedopt", "contribution", "median"),
        "personal": ("fine_tuned", "fedper", "fedper_decoder", "fedbn", "contribution_fedper"),
    }
    best: dict[str, dict[str, Any]] = {}
    most = max(row["patients"] for row in rows)
    complete = [row for row in rows if row["patients"] == most]  # others have folds still to run
    for site in sorted({site for row in complete for site in row["per_site"]}):
        known = {}
        for kind, methods in kinds.items():
            scores = [(row["per_site"][site], row["method"]) for row in complete if row["method"] in methods]
            if scores:
                known[kind] = max(scores)
        if not known:  # so far only the centralised baseline, which no site can choose
            continue
        options = {kind: {"dice": dice, "method": method} for kind, (dice, method) in known.items()}
        best[site] = {"serves_best": max(known, key=lambda kind: known[kind][0]), **options}
    return best


def provenance(command: str) -> dict[str, Any]:
    """What made the numbers."""
    return {
        "command": command,
        "engine": "FLARE POC",
        "fedbrats": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, two CPU cores",
        "seed": SEED,
    }


def mean(values: Mapping[Any, float]) -> float:
    """The mean of a mapping's values."""
    return sum(values.values()) / len(values)
