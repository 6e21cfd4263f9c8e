"""Runs on record are numbers alone, and the committed summary is made from the committed runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.real_results import (
    RUNS_FILE,
    read_records,
    record_run,
    write_corrupted,
    write_records,
    write_summary,
)
from fedbrats.data.cases.datalist import find_sites, read_datalist
from fedbrats.data.regions import REGIONS
from fedbrats.rows import CASES_FILE, read_rows

RESULTS = Path(__file__).parents[2] / "experiments" / "results"


def test_a_run_leaves_the_scores_of_its_patients_without_their_names(tmp_path, trained_results, phantom_sites):
    record = record_run("equal", 0, "centralised", ["num_rounds=2"], trained_results, phantom_sites)
    write_records(tmp_path, {("equal", 0, "centralised"): record})

    held_out = {
        case.patient: site.name for site in find_sites(phantom_sites) for case in read_datalist(site).validation
    }
    text = (tmp_path / RUNS_FILE).read_text()
    assert not [name for name in held_out if name in text]
    assert sorted(score["site"] for score in record["patients"]) == sorted(held_out.values())
    final = {row["patient"]: row for row in read_rows(trained_results / CASES_FILE) if row["stage"] == "final"}
    assert sorted(score["dice"]["WT"] for score in record["patients"]) == pytest.approx(
        sorted(row["dice"]["WT"] for row in final.values()), abs=1e-6
    )
    assert all(score["hd95_mm"][region] >= 0 for score in record["patients"] for region in REGIONS)
    assert len(record["curve"]) == 2
    assert read_records(tmp_path) == {("equal", 0, "centralised"): json.loads(json.dumps(record))}


def test_a_summary_compares_what_is_on_record(tmp_path, trained_results, phantom_sites):
    run = record_run("equal", 0, "centralised", [], trained_results, phantom_sites)
    worse = {**run, "method": "fedavg", "patients": [zero(score) for score in run["patients"]]}
    write_records(tmp_path, {("equal", 0, "centralised"): run, ("equal", 0, "fedavg"): worse})
    write_summary(tmp_path, "a command")
    rows = {row["method"]: row for row in json.loads((tmp_path / "summary.json").read_text())["rows"]}
    assert rows["fedavg"]["ratio_to_centralised"] == 0
    assert rows["centralised"]["against_fedavg"]["mean"] == rows["centralised"]["dice_mean"]
    assert rows["centralised"]["hd95_mean"] >= 0


def test_the_committed_summary_is_that_of_the_committed_runs(tmp_path):
    shutil.copy(RESULTS / RUNS_FILE, tmp_path)
    committed = json.loads((RESULTS / "summary.json").read_text())
    write_summary(tmp_path, committed["command"])
    assert json.loads((tmp_path / "summary.json").read_text())["rows"] == committed["rows"]


def test_what_is_on_record_is_not_done_again_and_other_settings_are_refused(tmp_path, trained_results, phantom_sites):
    run = record_run("equal", 0, "fedavg", ["num_rounds=2"], trained_results, phantom_sites)
    write_records(tmp_path, {("equal", 0, "fedavg"): run})
    done = compare_methods(tmp_path, "--set", "num_rounds=2")
    assert "1 runs, 1 of them done" in done.stdout
    command = json.loads((tmp_path / "summary.json").read_text())["command"]
    assert command == (
        f"python experiments/real.py DATA --splits equal --methods fedavg --set num_rounds=2 --results {tmp_path.name}"
    )
    refused = compare_methods(tmp_path, "--set", "num_rounds=3")
    assert refused.returncode == 1
    assert "equal, fold 0, fedavg is on record" in refused.stderr


def test_rows_of_bad_sites_outlive_their_runs_folders_and_no_other_command(tmp_path):
    committed = json.loads((RESULTS / "corrupted.json").read_text())
    target = Path(shutil.copy(RESULTS / "corrupted.json", tmp_path))
    write_corrupted(tmp_path, tmp_path, target, "cbica-2", committed["command"])
    assert json.loads(target.read_text())["rows"] == committed["rows"]
    write_corrupted(tmp_path, tmp_path, target, "cbica-2", "another command")
    assert json.loads(target.read_text())["rows"] == []


def compare_methods(results, *words):
    only = ("--splits", "equal", "--methods", "fedavg", "--folds", "0", "--results", results)
    command = [sys.executable, RESULTS.parent / "real.py", results, *only, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def zero(score):
    return {**score, "dice": dict.fromkeys(score["dice"], 0.0)}
