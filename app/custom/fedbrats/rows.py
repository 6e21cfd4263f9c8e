"""The recorder's rows: what happened in a job, one JSON object a line, and the summary made from them.

Kinds of rows, told apart by `kind`:

- `conditions`: data (SHA-256 of the sites' datalists), split, seed, budget (rounds, steps, bytes), misbehaviour; the
  first row of a results folder, written when the run has ended
- `job`: job_id, version, at (seconds since 1970; of a federation), variables (of `fedbrats train`)
- `metrics`: round, site, stage, region, dice, iou, cases. stage is `received` (the model a round began with),
  `trained` (after local training), `final` (the last global model, evaluated once more) or `best` (the selected one);
  region is WT, TC, ET or mean; cases counts the site's validation cases; dice and iou are null where the site
  suppressed a small group. A refused answer has none
- `site`: round, site, accepted, answered_s, bytes: `down` (the model sent to it) and `up` (its answer), arrays only,
  and the entries of the site's report, which `fedbrats.site_report.SiteReport` declares, but for its metrics; said:
  {name: number}, the numbers that the server's method hears from the site (`SaidNumber`), where it hears any and the
  answer was accepted
- `evaluation`: model, personal_of, own_personal, site, region, dice, iou, cases: a given model at a site, as the job
  `evaluate` finds it. personal_of names the site whose personal part it carried; own_personal says that the site put
  its own part in
- `weight`: round, site, weight, and what the aggregator says of it; none where nothing is shared
- `refusal`: round, site, reason, message
- `round`: round, answered, silent, seconds, ended_at. silent sites gave no answer; a refused one is in a `refusal`
- `participation`: round, attempt, asked, absent (not connected), counted, failed, waiting (no answer by the deadline),
  not_waited_for (those of them that missed the deadlines of two earlier rounds), case_share, deadline_s, seconds,
  lacks (what the round lacked of its rule, null where it was met)
- `padded`: round, attempt, asked, members (whose covered updates are in the sum), bits (behind the point of a number),
  bytes (arrays of covered updates), seconds, lacks (why there is no sum, null where there is one; then the round's
  answers before it are not counted): of a job with `secure=pads`
- `late`: round, site, late_s (after the round was closed), took_s: an answer that is not counted
- `joined`: round, site, again: a site that came into a running job, for the first time or after a restart
- `lost`: round, site, message: a site came back without what it kept of earlier rounds
- `rollback`: round, to_round, drop: the model that the round began with was given up for that of an earlier one
- `resume`: job, round: what follows goes on from this round of that job; the rows before it are that job's
- `trouble`: round, message: something of the server's own that failed without ending the job
- `end`: status, seconds
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.data.regions import REGIONS
from fedbrats.outside import clean

if TYPE_CHECKING:
    from fedbrats.model.metrics import CaseScore

Row = Mapping[str, Any]
REGIONS_AND_MEAN = (*REGIONS, "mean")
ROWS_FOLDER = "fedbrats"
ROWS_FILE = "rows.jsonl"
CASES_FILE = "cases.jsonl"  # scores of single cases: a site's own, in its own run folder, never sent
FINAL_ROUND = -1  # the round of what is evaluated after the last one
OWN_PERSONAL = "own_personal"  # in an evaluation: the site put its own personal part into the model


def read_rows(path: Path) -> list[Row]:
    """Read a rows file, its texts as they may be shown; a last line that a crash cut short is left out."""
    rows = []
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        try:
            rows.append(clean(json.loads(line)))
        except ValueError:
            if number != len(lines) - 1:
                raise
    return rows


def metric_rows(
    round_number: int, site: str, stage: str, metrics: Mapping[str, Mapping[str, float]] | None, cases: int
) -> list[dict[str, Any]]:
    """One row a region from `{"dice": {"WT": ..., "mean": ...}, "iou": {...}}`, or from None where nothing may be
    said."""
    return [
        {
            "kind": "metrics",
            "round": round_number,
            "site": site,
            "stage": stage,
            "region": region,
            "dice": metrics["dice"][region] if metrics else None,
            "iou": metrics["iou"][region] if metrics else None,
            "cases": cases,
        }
        for region in REGIONS_AND_MEAN
    ]


def evaluation_rows(
    model: str, personal_of: str | None, site: str, report: Mapping[str, Any], *, own_personal: bool
) -> list[dict[str, Any]]:
    """One row a region of a given model at a site; report: `metrics`, as `metric_rows` has them, `validation_cases`."""
    about = {"kind": "evaluation", "model": model, "personal_of": personal_of, OWN_PERSONAL: own_personal}
    found = metric_rows(FINAL_ROUND, site, "", report["metrics"], report["validation_cases"])
    return [{**about, **{key: row[key] for key in ("site", "region", "dice", "iou", "cases")}} for row in found]


def case_rows(round_number: int, stage: str, scores: Iterable[CaseScore] | None) -> list[dict[str, Any]]:
    """One row a case, for the site's own file, with every metric that its score has."""
    return [{"round": round_number, "stage": stage, **asdict(score)} for score in scores or ()]


def counted_rows(rows: Iterable[Row]) -> list[Row]:
    """The rows without those of answers that were refused: the `site` row, and the metrics that came with it.

    A site that was refused may be asked again in the same round. The metrics of an answer follow its `site` row; the
    recorder writes none of a refused one, but results of earlier versions have them. A `site` row that does not say
    whether it was accepted was. Answers whose covered updates came to no sum are left out too: the round was repeated.
    """
    accepted: dict[tuple[Any, Any], bool] = {}
    kept = []
    for row in rows:
        answer = row.get("round"), row.get("site")
        if row["kind"] == "site":
            accepted[answer] = row.get("accepted", True)
        if row["kind"] not in ("site", "metrics") or accepted.get(answer, True):
            kept.append(row)
        if row["kind"] == "padded" and row.get("lacks"):
            kept = [each for each in kept if each["kind"] not in ("site", "metrics") or each["round"] != row["round"]]
    return kept


def summarise_rows(rows: Iterable[Row], stage: str = "final") -> dict[str, Any]:
    """Summarise one job: `rounds`, `sites`, `dice` and `iou` over `cases` validation cases, `per_site`, the voxel size
    that all sites trained at, if it was one, and how often a site was silent (`silent_rounds`) or refused (`refusals`).

    A mean over all cases weighs each site's mean by its validation cases; a site that suppressed its metrics counts in
    `sites` only, and its cases in `per_site` only. `dice` and `iou` are None where no site said anything. A refused
    answer counts in `refusals` alone.
    """
    rows = counted_rows(rows)
    rounds = [row["round"] for row in rows if row["kind"] == "round"]
    spacings = {row.get("spacing_mm") for row in rows if row["kind"] == "site"}
    training_cases = {row["site"]: row.get("training_cases") for row in rows if row["kind"] == "site"}
    found = [row for row in rows if row["kind"] == "metrics" and row["stage"] == stage]
    per_site: dict[str, dict[str, Any]] = {
        site: {"cases": None, "training_cases": cases, "dice": None, "iou": None}
        for site, cases in sorted(training_cases.items())
    }
    for row in found:
        site = per_site.setdefault(row["site"], {"training_cases": None, "dice": None, "iou": None})
        site["cases"] = row["cases"]
        if row["dice"] is not None:
            for metric in ("dice", "iou"):
                site[metric] = {**(site[metric] or {}), row["region"]: row[metric]}
    return {
        "rounds": len(set(rounds)),
        "sites": len(per_site),
        "cases": sum(site["cases"] for site in per_site.values() if site["dice"]),
        "dice": _mean_over_cases(found, "dice"),
        "iou": _mean_over_cases(found, "iou"),
        "per_site": per_site,
        "spacing_mm": spacings.pop() if len(spacings) == 1 else None,
        "silent_rounds": dict(
            Counter(site for row in rows if row["kind"] == "round" for site in row.get("silent", ()))
        ),
        "refusals": dict(Counter(row["site"] for row in rows if row["kind"] == "refusal")),
    }


def summarise_evaluation(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The matrix of a cross-site evaluation, a model an entry: model, personal_of, own_personal, and `sites`.

    `sites` is `{site: {"cases", "dice": {region: value} | None, "iou": ...}}`; None where the site said nothing.
    """
    entries: dict[tuple[str, str | None], dict[str, Any]] = {}
    for row in rows:
        if row["kind"] != "evaluation":
            continue
        about = {"model": row["model"], "personal_of": row["personal_of"], OWN_PERSONAL: row[OWN_PERSONAL]}
        entry = entries.setdefault((row["model"], row["personal_of"]), {**about, "sites": {}})
        site = entry["sites"].setdefault(row["site"], {"cases": row["cases"], "dice": None, "iou": None})
        if row["dice"] is not None:
            for metric in ("dice", "iou"):
                site[metric] = {**(site[metric] or {}), row["region"]: row[metric]}
    ordered = sorted(entries.items(), key=lambda item: (item[0][0], item[0][1] or ""))
    return [{**entry, "sites": dict(sorted(entry["sites"].items()))} for _, entry in ordered]


def describe_model(entry: Mapping[str, Any]) -> str:
    """An entry of the matrix in words: which model, with whose personal part."""
    if entry["personal_of"]:
        return f"{entry['model']} with the personal part of {entry['personal_of']}"
    return f"{entry['model']} with each site's own personal part" if entry[OWN_PERSONAL] else entry["model"]


def learning_curve(rows: Iterable[Row], stage: str = "received") -> dict[int, float]:
    """Mean validation Dice over all cases, by round; refused answers left out."""
    by_round: dict[int, list[Row]] = defaultdict(list)
    for row in counted_rows(rows):
        if row["kind"] == "metrics" and row["stage"] == stage and row["region"] == "mean" and row["dice"] is not None:
            by_round[row["round"]].append(row)
    return {number: _weighted_mean(found, "dice") for number, found in sorted(by_round.items())}


def _mean_over_cases(found: list[Row], metric: str) -> dict[str, float] | None:
    by_region = {
        region: [row for row in found if row["region"] == region and row[metric] is not None and row["cases"]]
        for region in REGIONS_AND_MEAN
    }
    if not by_region["mean"]:
        return None
    return {region: _weighted_mean(by_region[region], metric) for region in ("mean", *REGIONS)}


def _weighted_mean(found: list[Row], metric: str) -> float:
    return sum(row[metric] * row["cases"] for row in found) / sum(row["cases"] for row in found)
