"""FLARE's standard metrics files of a job, from its rows: `metrics_summary.json`, `round_metrics.jsonl` and
`cross_val_results.json`, as FLARE 2.9's MetricsArtifactWriter and ValidationJsonGenerator have them.

Those two write what a site names as it likes; rows hold what has been checked.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedbrats.atomic import write_json_atomic, write_text_atomic
from fedbrats.flare.protocol import FROM_SERVER, STAGES, VALIDATION_DICE
from fedbrats.rows import Row, counted_rows

METRICS, CROSS_SITE = "metrics", "cross_site_val"  # FLARE's folders, in the server's run folder
SUMMARY, ROUNDS, CROSS_RESULTS = "metrics_summary.json", "round_metrics.jsonl", "cross_val_results.json"
KEY = {"name": VALIDATION_DICE, "mode": "max"}
WEIGHT = "validation_cases"  # what the mean over sites weighs by
PREFIXES = {"received": "val", "trained": "trained_val", "final": "val"}  # of a metric's name, by stage
NOTES = [
    "A round's metrics are of the model that the sites received; trained_val is of what each made of it.",
    "final_aggregated_metrics are of the final model, which every site evaluates after the last round.",
    "Means over sites weigh by validation cases. A site with too few cases says none.",
]
OWNERS = {stage: name for name, stage in STAGES.items()}  # stage -> how FLARE names the model
Metrics = dict[str, float]


def write_flare_metrics(run_dir: Path, rows: Iterable[Row], job: str) -> None:
    """Write the files of which there is something to say.

    Args:
        run_dir: the server's, of the job; its download contains it.
        rows: of the job.
        job: its name.

    Raises: OSError.
    """
    rows = counted_rows(rows)
    rounds = [_round(number, own) for number, own in sorted(_sites_by_round(rows).items())]
    across = cross_results(rows)
    if rounds:
        lines = "".join(json.dumps(each, allow_nan=False) + "\n" for each in rounds)
        write_text_atomic(run_dir / METRICS / ROUNDS, lines)
        write_json_atomic(run_dir / METRICS / SUMMARY, summary_of(rounds, _final(rows), job))
    if across:
        write_json_atomic(run_dir / CROSS_SITE / CROSS_RESULTS, across)


def summary_of(rounds: Sequence[Mapping[str, Any]], final: Metrics, job: str) -> dict[str, Any]:
    """The summary of the lines of a job's rounds; final: the metrics of the final model, where there are any."""
    judged = [(dict(_pairs(each["aggregated_metrics"])), each["round"]) for each in rounds]
    scored = [(metrics[KEY["name"]], number, metrics) for metrics, number in judged if KEY["name"] in metrics]
    summary: dict[str, Any] = {
        "schema_version": "1",
        "status": "metrics_reported",
        "job_name": job,
        "metric_split": "validation",
        "key_metric": KEY,
        "final_round": rounds[-1]["round"],
        "final_aggregated_metrics": _listed(final) if final else rounds[-1]["aggregated_metrics"],
        "round_metrics_file": ROUNDS,
        "notes": NOTES,
    }
    if scored:
        _, number, metrics = max(scored, key=lambda each: (each[0], -each[1]))
        summary |= {"best_round": number, "best_aggregated_metrics": _listed(metrics)}
    return summary


def cross_results(rows: Iterable[Row]) -> dict[str, dict[str, Metrics]]:
    """Site -> the model that it evaluated, by FLARE's name -> metrics."""
    found: dict[str, dict[str, Metrics]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if row["kind"] == "metrics" and row["stage"] in OWNERS:
            owner = OWNERS[row["stage"]]
        elif row["kind"] == "evaluation":
            owner = f"{row['personal_of']}.{row['model']}" if row["personal_of"] else FROM_SERVER + row["model"]
        else:
            continue
        if said := _metrics_of(row, "val"):
            found[row["site"]][owner].update(said)
    return {site: dict(own) for site, own in found.items()}


def _sites_by_round(rows: Iterable[Row]) -> dict[int, dict[str, tuple[Metrics, int]]]:
    """Round -> site -> (its metrics, its validation cases)."""
    found: dict[int, dict[str, tuple[Metrics, int]]] = defaultdict(dict)
    for row in rows:
        if row["kind"] == "metrics" and row["stage"] in ("received", "trained"):
            said = _metrics_of(row, PREFIXES[row["stage"]])
        elif row["kind"] == "site" and row.get("loss") is not None:
            said = {"train_loss": row["loss"]}
        else:
            continue
        if said:
            metrics, cases = found[row["round"]].get(row["site"], ({}, 0))
            found[row["round"]][row["site"]] = {**metrics, **said}, int(row.get("cases") or cases)
    return found


def _round(number: int, sites: Mapping[str, tuple[Metrics, int]]) -> dict[str, Any]:
    said = [
        {"name": site, "metrics": _listed(metrics), **({"weight": cases, "weight_key": WEIGHT} if cases else {})}
        for site, (metrics, cases) in sorted(sites.items())
    ]
    means = _listed(_mean(list(sites.values())))
    return {"round": number, "aggregated_metrics": means, "sites": said, "skipped_metrics": [], "key_metric": KEY}


def _final(rows: Iterable[Row]) -> Metrics:
    by_site: dict[str, tuple[Metrics, int]] = {}
    for row in rows:
        if row["kind"] == "metrics" and row["stage"] == "final":
            metrics, _ = by_site.get(row["site"], ({}, 0))
            by_site[row["site"]] = {**metrics, **_metrics_of(row, PREFIXES["final"])}, int(row["cases"])
    return _mean([each for each in by_site.values() if each[0]])


def _mean(sites: Sequence[tuple[Metrics, int]]) -> Metrics:
    """Each metric's mean over the sites that say it; by validation cases where a site has some."""
    found: Metrics = {}
    for name in sorted({name for metrics, _ in sites for name in metrics}):
        pairs = [(metrics[name], cases or 1) for metrics, cases in sites if name in metrics]
        found[name] = sum(value * cases for value, cases in pairs) / sum(cases for _, cases in pairs)
    return found


def _metrics_of(row: Row, prefix: str) -> Metrics:
    region = "" if row["region"] == "mean" else f"_{row['region']}"
    said = {f"{prefix}_{metric}{region}": row.get(metric) for metric in ("dice", "iou")}
    return {name: value for name, value in said.items() if value is not None}


def _listed(metrics: Metrics) -> list[dict[str, Any]]:
    """As FLARE lists metrics: a name is a value there, and no key."""
    return [{"name": name, "value": value} for name, value in metrics.items()]


def _pairs(listed: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, float]]:
    return ((each["name"], each["value"]) for each in listed)
