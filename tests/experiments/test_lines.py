"""Runs on record are numbers alone, those of a committed sweep file, and the pages compare what is on record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments import attack_tables
from experiments.real_tables import BEGIN, END, by_hospital, missing, row_of, start_parts, with_tables
from fedbrats.admin.run.sweep import plan_runs, read_sweep
from fedbrats.data.cases.datalist import find_sites, read_datalist
from fedbrats.data.regions import REGIONS
from fedbrats.report.numbers.records import RUNS_FILE, make_record, read_records, run_id
from fedbrats.rows import CASES_FILE, read_rows

RESULTS = Path(__file__).parents[2] / "experiments" / "results"
ABOUT = ("split", "fold", "seed", "method", "settings", "left_out", "misbehaviour", "engine")


def about(method, **settings):
    asked = {"split": "institution", "fold": 0, "seed": 0, "method": method, "settings": settings}
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
    assert read_records(tmp_path / RUNS_FILE) == [json.loads(json.dumps(record))]
    assert record["id"] == run_id(about("centralised", num_rounds=2))


@pytest.mark.parametrize(
    ("sweeps", "lines"),
    [
        (["eight-rounds.json"], "from-random-weights/eight-rounds.jsonl"),
        (["sixteen-rounds.json"], "from-random-weights/sixteen-rounds.jsonl"),
        (["attacks.json", "attacks-unclipped.json"], "attacks/runs.jsonl"),
        (["longer.json"], "longer/runs.jsonl"),
        (["main.json", "third-of-phantoms.json", "left-out.json"], "from-phantoms/runs.jsonl"),
    ],
)
def test_the_committed_lines_are_the_runs_of_a_committed_sweep_file(sweeps, lines):
    asked = {run.id for sweep in sweeps for run in plan_runs(read_sweep(RESULTS.parent / sweep))}
    known = {record["id"]: run_id({name: record[name] for name in ABOUT}) for record in read_records(RESULTS / lines)}
    assert all(stored == made for stored, made in known.items())
    assert set(known) <= asked


def line(method, fold, dice, **more):
    """A run whose patients, one a site, have this Dice."""
    patients = [
        {"patient": 10 * fold + number, "site": site, "dice": dict.fromkeys(REGIONS, value)}
        for number, (site, value) in enumerate(dice.items())
    ]
    asked = {**about(method), "fold": fold, **more}
    training = dict.fromkeys(dice, 3)
    return {
        "id": run_id(asked),
        **asked,
        "seconds": 1,
        "variables": {"seed": 0},
        "patients": patients,
        "elsewhere": [],
        "training_cases": training,
    }


def test_a_method_is_compared_with_training_alone_on_the_folds_that_both_have():
    sites = [f"site-{number}" for number in range(6)]
    own = [line("fedavg", fold, dict.fromkeys(sites, 0.5 + 0.1 * fold)) for fold in range(3)]
    alone = [line("local_only", fold, dict.fromkeys(sites, 0.3)) for fold in range(2)]
    row = row_of("fedavg", [*own, *alone])
    assert (row["folds"], row["patients"]) == (3, 18)
    assert row["dice"] == pytest.approx(0.6)
    assert (row["compared_folds"], row["difference"]) == (2, pytest.approx(0.25))
    ours, theirs = by_hospital("fedavg", [*own, *alone])
    assert ours["site-0"] == pytest.approx([0.5, 0.6])
    assert theirs["site-0"] == pytest.approx([0.3, 0.3])


def test_a_fold_of_an_older_version_is_a_fold_like_the_others():
    sites = [f"site-{number}" for number in range(6)]
    older, newer = (line("fedavg", fold, dict.fromkeys(sites, 0.5)) for fold in range(2))
    newer["variables"] = {**newer["variables"], "a_newer_variable": 1}
    assert row_of("fedavg", [older, newer])["folds"] == 2


def one_run_of_main():
    first = plan_runs(read_sweep(RESULTS.parent / "main.json"))[0]
    return {**line(first.method, first.fold, {"tcia-lgg": 0.5}), "id": first.id}


def test_what_is_not_run_is_said():
    assert "institution, seed 0: all; " in missing([])
    assert "institution, seed 0: fedavg (2 of 3), local_only, " in missing([one_run_of_main()])
    text = "".join(start_parts([line("fedavg", 0, {"tcia-lgg": 0.5, "cbica-1": 0.6})]))
    assert "Not run yet" in text
    assert "| FedAvg | 1 | 1 | 2 | 0.550 | - |" in text


def attacked(method, dice, **harm):
    """A run of attacks.json with six patients of this Dice at an honest hospital, and one at the attacker's."""
    record = line(method, 0, {"cbica-2": 0.0}, misbehaviour=harm)
    record["patients"] += [{"patient": n, "site": "cbica-1", "dice": dict.fromkeys(REGIONS, dice)} for n in range(1, 7)]
    return {**record, "weights": {"cbica-2": [0.25, None, 0.75]}, "training_cases": {"cbica-2": 1, "cbica-1": 3}}


def test_a_rule_falls_where_its_honest_patients_lose():
    bad = {"cbica-2": "drift"}
    records = [attacked("fedavg", 0.6), attacked("fedavg", 0.5, **bad), attacked("contribution", 0.6)]
    records.append(attacked("contribution", 0.59, **bad))
    text = "".join(attack_tables.parts(records))
    assert "**Fold 0, 6 patients.**" in text
    assert "| drift | **-0.100 (-0.100 to -0.100)** | -0.010 (-0.010 to -0.010) | - |" in text
    assert "| drift | 0.25 | 0.50 | 0.50 | - |" in text
    assert "**Not run yet**: 42 of the 42 runs" in text


def test_the_made_part_of_a_page_is_replaced():
    page = with_tables(f"before\n{BEGIN}\nold\n{END}\nafter", "new\n")
    assert page == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter"
    with pytest.raises(ValueError, match="no place for tables"):
        with_tables("a page", "new")


@pytest.mark.parametrize("path", sorted(RESULTS.parent.glob("*.json")), ids=lambda path: path.name)
def test_every_committed_sweep_file_can_be_run(path):
    assert plan_runs(read_sweep(path))
