"""`fedbrats evaluate` on real files: one document, a table, cases that cannot be scored, clear refusals."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import nibabel
import pytest

from fedbrats.cli.main import main
from fedbrats.data.cases.case import find_cases
from fedbrats.data.cases.datalist import read_datalist, write_datalist
from fedbrats.data.regions import REGIONS
from fedbrats.model.metrics import DETAILED_METRICS
from fedbrats.model.prediction import Predictor
from tests.data.broken import BREAKAGES, copy_case


def evaluate(capsys, *words, status=0) -> dict:
    assert main(["evaluate", *map(str, words), "--threads", "1", "--device", "cpu", "--json"]) == status
    return json.loads(capsys.readouterr().out)


def test_sites_are_scored_in_one_document(trained_results, phantom_sites, tmp_path, capsys):
    document = evaluate(capsys, trained_results, phantom_sites, "--section", "all", "--out", tmp_path)
    assert (document["cases"], document["patients"]) == (8, 8)
    assert (document["rejected"], document["unreached"]) == ([], 0)
    assert document == json.loads((tmp_path / "evaluation.json").read_text())
    assert "Dice 1" in document["empty_region_rule"]
    assert set(document["metrics"]) == set(DETAILED_METRICS)
    dice = document["metrics"]["dice"]["WT"]
    assert dice["low"] <= dice["mean"] <= dice["high"]
    assert set(dice["sites"]) == {"site-1", "site-2"}
    assert dice["gap"] == pytest.approx(abs(dice["sites"]["site-1"] - dice["sites"]["site-2"]))
    with (tmp_path / "evaluation.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 8 * len(REGIONS)
    first = document["scores"][0]
    assert float(rows[0]["dice"]) == first["dice"]["WT"]


def test_a_folder_of_cases_is_one_site(trained_results, phantom_sites, tmp_path, capsys):
    case = read_datalist(phantom_sites / "site-1").training[0]
    shutil.copytree(case.label.parent, tmp_path / "loose" / case.name)
    document = evaluate(capsys, trained_results, tmp_path / "loose")
    assert [score["site"] for score in document["scores"]] == ["loose"]
    listed = evaluate(capsys, trained_results, phantom_sites, "--section", "training")
    assert document["scores"][0]["dice"] == next(s["dice"] for s in listed["scores"] if s["case"] == case.name)


def test_a_bad_case_is_said_and_the_others_are_scored(trained_results, phantom_sites, tmp_path, capsys):
    shutil.copytree(phantom_sites / "site-1", tmp_path / "site-1")
    broken = read_datalist(tmp_path / "site-1").training[1]
    broken.images["t2"].write_bytes(b"no image")
    document = evaluate(capsys, trained_results, tmp_path / "site-1", "--section", "training", status=1)
    [rejected] = document["rejected"]
    assert rejected["case"] == broken.name
    assert "t2" in rejected["reason"]
    assert document["cases"] == len(read_datalist(tmp_path / "site-1").training) - 1


def test_a_mirrored_segmentation_is_left_out_and_said(trained_results, phantom_sites, tmp_path, capsys):
    shutil.copytree(phantom_sites / "site-1", tmp_path / "site-1")
    mirrored = read_datalist(tmp_path / "site-1").training[0]
    nibabel.save(nibabel.as_closest_canonical(nibabel.load(mirrored.label)), mirrored.label)
    document = evaluate(capsys, trained_results, tmp_path / "site-1", "--section", "training", status=1)
    [rejected] = document["rejected"]
    assert rejected["case"] == mirrored.name
    assert "must lie on its images' grid" in rejected["reason"]


def test_an_unsafe_case_is_left_out_aloud_and_scored_only_by_force(trained_results, phantom_sites, tmp_path, capsys):
    cases = find_cases(phantom_sites / "site-1")
    for number, case in enumerate(cases[:3]):
        copied = copy_case(case, tmp_path / "loose", f"P{number}{number}_a")
        if number == 0:
            BREAKAGES["exchanged-t1-t2"].apply(copied)
        if number == 2:
            copied.label.unlink()
    words = (trained_results, tmp_path / "loose", "--convention", "brats-2018")
    document = evaluate(capsys, *words, status=1)
    [rejected] = document["rejected"]
    assert rejected["case"] == "P00_a"
    assert "is not safe to score" in rejected["reason"]
    assert "--force" in rejected["reason"]
    assert (document["cases"], document["forced"]) == (1, [])
    found = {(finding["case"], finding["kind"]) for finding in document["findings"]}
    assert {("P00_a", "exchanged-modalities"), ("P22_a", "missing-segmentation")} <= found
    forced = evaluate(capsys, *words, "--force", status=1)
    assert (forced["cases"], forced["rejected"]) == (2, [])
    assert [entry["case"] for entry in forced["forced"]] == ["P00_a"]


def test_what_does_not_fit_into_memory_is_left_out_and_said(trained_results, phantom_sites, tmp_path, capsys):
    """A window of these sides is 432 TB, which torch asks the system for."""
    window = ("--window", 30000, 30000, 30000)
    document = evaluate(capsys, trained_results, phantom_sites, *window, "--out", tmp_path, status=1)
    assert len(document["rejected"]) == 2
    assert all("memory: give a smaller --window than 30000" in rejected["reason"] for rejected in document["rejected"])
    assert document == json.loads((tmp_path / "evaluation.json").read_text())


def test_an_evaluation_that_does_not_end_leaves_a_whole_one_alone(
    trained_results, phantom_sites, tmp_path, capsys, monkeypatch
):
    whole = evaluate(capsys, trained_results, phantom_sites, "--out", tmp_path)
    before = (tmp_path / "evaluation.csv").read_text()
    score, scored = Predictor.score, []

    def score_one(self, *args):
        if scored:
            raise KeyboardInterrupt
        scored.append(1)
        return score(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "score", score_one)
        words = ["evaluate", trained_results, phantom_sites, "--threads", 1, "--device", "cpu", "--out", tmp_path]
        assert main(list(map(str, words))) == 130
    capsys.readouterr()
    assert (tmp_path / "evaluation.csv").read_text() == before
    assert json.loads((tmp_path / "evaluation.json").read_text()) == whole
    assert json.loads((tmp_path / "partial" / "evaluation.json").read_text())["cases"] == 1
    evaluate(capsys, trained_results, phantom_sites, "--out", tmp_path)
    assert not (tmp_path / "partial").exists()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_ended_leaves_what_it_has_scored(trained_results, phantom_sites, tmp_path, end):
    site = read_datalist(phantom_sites / "site-1")
    many = tuple(replace(site.training[0], name=f"case-{k}", patient=f"case-{k}") for k in range(500))
    (tmp_path / "site-1").mkdir()
    write_datalist(tmp_path / "site-1", replace(site, training=many, validation=(), test=()))
    command = [sys.executable, "-m", "fedbrats.cli.main", "evaluate", trained_results, tmp_path / "site-1"]
    command += ["--section", "training", "--threads", 1, "--device", "cpu", "--out", tmp_path / "out"]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    table, document = tmp_path / "out" / "evaluation.csv", tmp_path / "out" / "evaluation.json"
    while not table.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(end)
    _, error = process.communicate(timeout=60)
    rows = len(table.read_text().splitlines()) - 1
    assert rows >= len(REGIONS)
    if end == signal.SIGKILL:  # nobody can write anything then
        assert not document.exists()
        return
    assert process.returncode == 128 + end
    found = json.loads(document.read_text())
    assert found["cases"] == len(found["scores"]) >= rows // len(REGIONS)
    assert found["cases"] + found["unreached"] == 500
    assert found["unreached"] > 0
    assert f"ended before {found['unreached']} of the cases" in error


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["/nowhere", "SITES"], "is not there"),
        (["MODEL", "/nowhere"], "is not a folder"),
        (["MODEL", "SITES", "SITES/site-1"], "given twice"),
        (["MODEL", "SITES", "--section", "test"], "no test case"),
    ],
)
def test_bad_input_is_one_sentence(trained_results, phantom_sites, capsys, words, said):
    places = {"MODEL": str(trained_results), "SITES": str(phantom_sites)}
    words = [word.replace("SITES", places["SITES"]).replace("MODEL", places["MODEL"]) for word in words]
    assert main(["evaluate", *words]) == 1
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_the_table_names_the_rule(trained_results, phantom_sites, capsys):
    assert main(["evaluate", str(trained_results), str(phantom_sites), "--threads", "1", "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "hd95_mm" in shown
    assert "373.13" in shown


def test_a_section_without_cases_says_which_have_some(trained_results, phantom_sites, capsys):
    assert main(["evaluate", str(trained_results), str(phantom_sites), "--section", "test"]) == 1
    said = capsys.readouterr().err
    assert "there is no test case to evaluate (there are 6 in training, 2 in validation)" in said
