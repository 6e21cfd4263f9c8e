"""Runs on record are numbers alone, and the committed summary is made from the committed runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from experiments.real_results import RUNS_FILE, read_records, write_summary
from fedbrats.admin.run.sweep import plan_runs, read_sweep
from fedbrats.data.cases.datalist import find_sites, read_datalist
from fedbrats.data.regions import REGIONS
from fedbrats.report.numbers.records import make_record, run_id
from fedbrats.report.numbers.records import read_records as read_lines
from fedbrats.rows import CASES_FILE, read_rows

RESULTS = Path(__file__).parents[2] / "experiments" / "results"
ABOUT = ("split", "fold", "seed", "method", "settings", "left_out", "misbehaviour", "engine")


def about(method, **settings):
    asked = {"split": "equal", "fold": 0, "seed": 0, "method": method, "settings": settings}
    return {**asked, "left_out": None, "misbehaviour": {}, "engine": "train"}


def write_lines(folder, *records):
    (folder / RUNS_FILE).write_text("".join(json.dumps(record) + "\n" for record in records))


def test_a_run_leaves_the_scores_of_its_patients_without_their_names(tmp_path, trained_results, phantom_sites):
    record = make_record(about("centralised", num_rounds=2), trained_results, phantom_sites)
    write_lines(tmp_path, record)

    held_out = {
        case.patient: site.name for site in find_sites(phantom_sites) for case in read_datalist(site).validation
    }
    text = (tmp_path / RUNS_FILE).read_text()
    assert not [name for name in held_out if name in text]
    assert sorted(score["site"] for score in record["patients"]) == sorted(held_out.values())
    final = {row["patient"]: row for row in read_rows(trained_results / CASES_FILE) if row["stage"] == "final"}
    assert sorted(score["dice"]["WT"] for score in record["patients"]) == pytest.approx(
        sorted(row["dice"]["WT"] for row in final.values()), abs=1e-5
    )
    assert all(score["hd95_mm"][region] >= 0 for score in record["patients"] for region in REGIONS)
    assert len(record["curve"]) == 2
    assert read_records(tmp_path) == {("equal", 0, "centralised"): json.loads(json.dumps(record))}
    assert record["id"] == run_id(about("centralised", num_rounds=2))


def test_a_summary_compares_what_is_on_record(tmp_path, trained_results, phantom_sites):
    run = make_record(about("centralised"), trained_results, phantom_sites)
    worse = {**run, "method": "fedavg", "patients": [zero(score) for score in run["patients"]]}
    write_lines(tmp_path, run, worse)
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


@pytest.mark.parametrize(
    ("sweep", "lines"),
    [("eight-rounds.json", "runs.jsonl"), ("sixteen-rounds.json", "longer/runs.jsonl")],
)
def test_the_committed_lines_are_the_runs_of_a_committed_sweep_file(sweep, lines):
    asked = {run.id for run in plan_runs(read_sweep(RESULTS.parent / sweep))}
    known = {record["id"]: run_id({name: record[name] for name in ABOUT}) for record in read_lines(RESULTS / lines)}
    assert all(stored == made for stored, made in known.items())
    assert set(known) <= asked


@pytest.mark.parametrize("path", sorted(RESULTS.parent.glob("*.json")), ids=lambda path: path.name)
def test_every_committed_sweep_file_can_be_run(path):
    assert plan_runs(read_sweep(path))


def zero(score):
    return {**score, "dice": dict.fromkeys(score["dice"], 0.0)}
