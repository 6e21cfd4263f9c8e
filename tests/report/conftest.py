"""Results folders for reports: of a real training, and of a federated job by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedbrats.model.metrics import CaseScore
from fedbrats.rows import (
    case_rows,
    evaluation_rows,
    metric_rows,
    summarise_rows,
)

SITES = ("north", "south", "west")
ROUNDS = 3
HOSTILE = "<script>alert('x')</script>"


def scores(number: int, gain: float) -> list[CaseScore]:
    """Four cases of a site, better by `gain`."""
    dice = [{"WT": 0.5 + gain + 0.02 * k + 0.05 * number, "TC": 0.4 + gain, "ET": 0.3 + gain} for k in range(4)]
    return [CaseScore(f"{SITES[number]}-{k}", f"patient-{number}-{k}", d, d) for k, d in enumerate(dice)]


@pytest.fixture(scope="session")
def make_results():
    """A function that writes the results folder of a finished federated job."""

    def make(folder: Path, job: str, gain: float) -> Path:
        rows = [{"kind": "job", "job_id": f"{job}-1", "version": "0.1.0", "at": 0.0}]
        for number in range(ROUNDS):
            for k, site in enumerate(SITES):
                metrics = {m: dict.fromkeys(("mean", "WT", "TC", "ET"), 0.2 * number + gain) for m in ("dice", "iou")}
                rows += metric_rows(number, site, "received", metrics, 4)
                seconds = {"training": 2.0 + k, "validating": 1.0}
                known = {"kind": "site", "round": number, "site": site, "training_cases": 9}
                traffic = {"down": 1_000_000, "up": 500_000}
                accepted = site != "west" or number != 1
                rows.append({**known, "accepted": accepted, "seconds": seconds, "bytes": traffic})
                rows.append({"kind": "weight", "round": number, "site": site, "weight": 1 / 3, "factor": 1 - 0.2 * k})
            rows.append({"kind": "round", "round": number, "silent": ["late"] if number == 2 else [], "seconds": 5.0})
        refusal = {"kind": "refusal", "round": 1, "site": "west", "reason": "not-finite", "message": HOSTILE}
        rows.append(refusal)
        for k, site in enumerate(SITES):
            final = scores(k, gain)
            mean = {name: sum(s.dice[name] for s in final) / 4 for name in ("WT", "TC", "ET")}
            dice = {"mean": sum(mean.values()) / 3, **mean}
            rows += metric_rows(-1, site, "final", {"dice": dice, "iou": dice}, 4)
            write_lines(folder / "sites" / site / "cases.jsonl", case_rows(-1, "final", final))
        write_lines(folder / "rows.jsonl", rows)
        summary = {"job": job, "job_id": f"{job}-1", "status": "FINISHED:COMPLETED", **summarise_rows(rows)}
        summary |= {"seconds": 20.0, "variables": {"seed": 0, "network": "tiny"}}
        (folder / "summary.json").write_text(json.dumps(summary))
        (folder / "global_model.pt").write_bytes(b"weights")
        return folder

    return make


@pytest.fixture(scope="session")
def federated(make_results, tmp_path_factory) -> list[Path]:
    """Two finished jobs on the same patients, the second one better."""
    parent = tmp_path_factory.mktemp("results")
    return [make_results(parent / name, name, gain) for name, gain in (("fedavg", 0.1), ("fedper", 0.2))]


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory) -> Path:
    """A finished job `evaluate`: three models at three sites, one of which says nothing."""
    rows = [{"kind": "job", "job_id": "e", "version": "0.1.0", "at": 0.0}]
    for number, (model, of, own) in enumerate((("fedavg", None, 0), ("fedper", None, 1), ("fedper", "south", 0))):
        for k, site in enumerate(SITES):
            dice = dict.fromkeys(("mean", "WT", "TC", "ET"), 0.4 + 0.1 * number + 0.05 * k)
            report = {"metrics": None if site == "west" else {"dice": dice, "iou": dice}, "validation_cases": 4}
            rows += evaluation_rows(model, of, site, report, own_personal=bool(own))
    folder = tmp_path_factory.mktemp("evaluated")
    write_lines(folder / "rows.jsonl", rows)
    summary = {"job": "evaluate", "job_id": "e", "status": "FINISHED:COMPLETED", **summarise_rows(rows), "seconds": 9.0}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def write_lines(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
