"""`fedbrats plan`: from scans or from fingerprints to variables that other commands take."""

import json
from dataclasses import replace

import pytest

from fedbrats.admin.run import calibration
from fedbrats.admin.run.calibration import Measured
from fedbrats.cli import job_arguments
from fedbrats.cli.job_arguments import PLAN_FORMAT, tell_minutes
from fedbrats.cli.main import main
from fedbrats.data.cases.datalist import read_datalist
from fedbrats.data.fingerprint import measure_scans
from fedbrats.jobs.build import read_variables
from fedbrats.jobs.estimate import Cost


@pytest.fixture
def fingerprint(phantom_sites, tmp_path, capsys):
    """The file of a site's fingerprint."""
    path = tmp_path / "site-1.json"
    words = ["plan", "--fingerprint", str(phantom_sites / "site-1"), "--min-cases", "1", "--device", "cpu"]
    assert main([*words, "--set", "network=tiny", "--out", str(path)]) == 0
    capsys.readouterr()
    return path


def test_a_plan_of_scans_is_variables_that_a_job_takes(phantom_sites, tmp_path, capsys):
    out = tmp_path / "plan.json"
    words = ["plan", str(phantom_sites), "--set", "network=tiny", "--set", "num_rounds=3", "--device", "cpu", "--json"]
    assert main([*words, "--out", str(out)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads(out.read_text())
    assert (document["variables"]["spacing_mm"], document["variables"]["network"]) == (4.0, "tiny")
    assert [each["cases"] for each in document["sites"]] == [4, 2]
    assert document["estimate"]["step_s"] > 0
    assert document["estimate"]["federation_min"] > 0
    build = ["job", "build", "fedavg", "--out", str(tmp_path / "jobs"), "--plan", str(out), "--json"]
    assert main([*build, "--set", "num_rounds=5"]) == 0
    variables = read_variables(tmp_path / "jobs" / "fedavg")
    assert (variables["spacing_mm"], variables["network"], variables["num_rounds"]) == (4.0, "tiny", 5)


def test_a_plan_of_fingerprints_needs_no_scan(fingerprint, tmp_path, capsys):
    about = json.loads(fingerprint.read_text())
    assert (about["cases"], about["spacing_mm"]) == (5, [4.0] * 3)
    assert all(side % 10 == 0 for side in about["brain_mm"])
    other = tmp_path / "site-2.json"
    slow = {"site": "site-2", "spacing_mm": [1.0] * 3, "cases": 50, "gflops": about["gflops"] / 10}
    other.write_text(json.dumps({**about, **slow}))
    assert main(["plan", str(fingerprint), str(other), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["variables"]["spacing_mm"] == 2.0
    assert document["estimate"]["slowest"] == "site-2"


def test_a_site_of_few_cases_says_nothing(phantom_sites, capsys):
    assert main(["plan", "--fingerprint", str(phantom_sites / "site-1")]) == 1
    assert "4 training cases, and a fingerprint of fewer than" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plan", "{site}", "--set", "spacing_mm=99"], "spacing_mm is 99"),
        (["plan", "{site}", "{site}"], "one DATA is needed"),
        (["plan", "--fingerprint", "{site}/.."], "a fingerprint is of one"),
        (["train", "{site}", "--plan", "{site}/datalist.json"], "is no plan"),
        (["simulate", "fedavg", "--data", "{site}/..", "--plan", "none.json"], "cannot read none.json"),
    ],
)
def test_wrong_arguments_are_told(phantom_sites, words, said, capsys):
    assert main([word.format(site=phantom_sites / "site-1") for word in words]) == 2
    assert said in capsys.readouterr().err


def test_scans_are_measured_along_the_axes_of_the_patient(phantom_sites):
    spacing_mm, brain_mm = measure_scans(read_datalist(phantom_sites / "site-1").cases)
    assert spacing_mm == pytest.approx([4.0] * 3)
    assert brain_mm[1] == max(brain_mm)


def test_before_a_run_its_minutes_are_said(phantom_sites, tmp_path, capsys, monkeypatch):
    """By a plan; of a short job by usual costs; of a longer one after some steps were measured."""
    plan = tmp_path / "plan.json"
    costs = Cost(step_s=6.0, score_s=0.0, final_s=0.0, prepare_s=0.0, launch_s=0.0)
    plan.write_text(json.dumps({"estimate": costs.document(), "format": PLAN_FORMAT, "variables": {}}))
    tell_minutes("train", "fedavg", {"num_rounds": 10, "local_steps": 10}, [phantom_sites], plan)
    assert "train: 10 rounds will take about 20 min, by" in capsys.readouterr().err
    tell_minutes("simulate", "fedavg", {"num_rounds": 1, "local_steps": 1, "network": "tiny"}, [phantom_sites])
    assert "simulate: 1 round will take about" in capsys.readouterr().err
    monkeypatch.setattr(job_arguments, "WORTH_MEASURING_S", 0.0)
    busy = replace(costs, at_once=2, share=0.4)
    monkeypatch.setattr(calibration, "measure", lambda *_, **__: Measured(busy, 1.0))
    tell_minutes("simulate", "fedavg", {}, [phantom_sites])
    said = capsys.readouterr().err
    assert "measuring some steps" in said
    assert "simulate: 25 rounds will take about" in said
    assert "other programs take 60% of this machine now" in said
    tell_minutes("poc", "evaluate", {}, [phantom_sites])
    assert capsys.readouterr().err == ""
