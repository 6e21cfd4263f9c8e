"""`fedbrats evaluate` on real files: one document, a table, cases that cannot be scored, clear refusals."""

import csv
import json
import shutil

import nibabel
import pytest

from fedbrats.cli.main import main
from fedbrats.data.datalist import read_datalist
from fedbrats.data.regions import REGIONS
from fedbrats.model.metrics import DETAILED_METRICS


def evaluate(capsys, *words, status=0) -> dict:
    assert main(["evaluate", *map(str, words), "--threads", "1", "--device", "cpu", "--json"]) == status
    return json.loads(capsys.readouterr().out)


def test_sites_are_scored_in_one_document(trained_results, phantom_sites, tmp_path, capsys):
    document = evaluate(capsys, trained_results, phantom_sites, "--section", "all", "--out", tmp_path)
    assert (document["cases"], document["patients"], document["rejected"]) == (8, 8, [])
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
