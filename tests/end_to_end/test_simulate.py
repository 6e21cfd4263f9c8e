"""A whole job in one process: personal heads, the Contribution Factor, and a site that sends NaN."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from fedbrats.cli.main import main
from fedbrats.model.network import SegmentationNetwork
from fedbrats.rows import ROWS_FILE, read_rows

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def results(phantom_sites, tmp_path_factory):
    """The results folder of two rounds of contribution_fedper with site-2 misbehaving."""
    folder = tmp_path_factory.mktemp("simulated")
    words = ["contribution_fedper", "--data", str(phantom_sites), "--results", str(folder / "results")]
    words += ["--cache", str(folder / "cache"), "--misbehave", "site-2=nan"]
    words += ["--set", "num_rounds=2", "--set", "min_clients=1"]
    assert main(["simulate", *words, "--set", "network=tiny", "--set", "local_steps=2"]) == 0
    (found,) = (folder / "results").iterdir()
    return found


def test_the_summary_has_what_a_poc_run_has(results):
    document = json.loads((results / "summary.json").read_text())
    keys = {"job", "job_id", "status", "rounds", "sites", "cases", "seconds", "dice", "iou", "per_site", "findings"}
    assert keys <= set(document)
    assert document["rounds"] == 2
    assert document["sites"] == 2


def test_the_bad_site_is_refused_aloud_in_every_round_and_the_job_goes_on(results):
    rows = read_rows(results / ROWS_FILE)
    refusals = [(row["round"], row["site"], row["reason"]) for row in rows if row["kind"] == "refusal"]
    assert refusals == [(0, "site-2", "not_finite"), (1, "site-2", "not_finite")]
    assert {row["site"] for row in rows if row["kind"] == "weight"} == {"site-1"}


def test_the_global_model_moved_in_its_shared_names_only(results):
    network = SegmentationNetwork("tiny")
    first = network.state_dict()
    last = torch.load(results / "global_model.pt", weights_only=True)["model"]
    personal = set(network.personal_names("head"))
    moved = {name for name in first if not torch.equal(first[name], torch.as_tensor(last[name]))}
    assert moved
    assert not moved & personal


def test_its_model_is_evaluated_across_sites_with_the_personal_parts_that_they_kept(results, phantom_sites, tmp_path):
    words = ["evaluate", "--data", str(phantom_sites), "--results", str(tmp_path / "results"), "--models", str(results)]
    assert main(["simulate", *words, "--cache", str(results.parents[1] / "cache")]) == 0
    (found,) = (tmp_path / "results").iterdir()
    document = json.loads((found / "summary.json").read_text())
    (entry,) = document["evaluation"]
    assert (entry["model"], entry["personal_of"], entry["own_personal"]) == ("contribution_fedper", None, True)
    trained = json.loads((results / "summary.json").read_text())["per_site"]
    for site, numbers in entry["sites"].items():
        assert numbers["dice"] == pytest.approx(trained[site]["dice"], abs=1e-6)


def test_every_site_keeps_its_own_scores(results):
    for site in ("site-1", "site-2"):
        lines = (results / "sites" / site / "cases.jsonl").read_text().splitlines()
        assert any(json.loads(line).get("stage") == "final" for line in lines)


SETTINGS = ("num_rounds=2", "network=tiny", "local_steps=2", "min_clients=2")
QUICK = [word for setting in SETTINGS for word in ("--set", setting)]


def test_many_sites_run_in_one_process(phantom_sites, tmp_path):
    sites = tmp_path / "sites"
    for number in range(12):
        original = phantom_sites / f"site-{number % 2 + 1}"
        shutil.copytree(original, sites / f"site-{number}", symlinks=True, copy_function=link)
    found = simulate(sites, tmp_path)
    rows = read_rows(found / ROWS_FILE)
    accepted = [(row["round"], row["site"]) for row in rows if row["kind"] == "site" and row["accepted"]]
    assert sorted(accepted) == sorted((number, f"site-{site}") for number in (0, 1) for site in range(12))
    assert json.loads((found / "summary.json").read_text())["sites"] == 12


def test_a_simulation_makes_the_same_model_every_time(phantom_sites, tmp_path):
    one, other = (weights(simulate(phantom_sites, tmp_path / name)) for name in ("one", "other"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.long
def test_a_poc_makes_the_same_model_bit_by_bit(phantom_sites, tmp_path):
    simulated = weights(simulate(phantom_sites, tmp_path))
    words = ["poc", "run", "fedavg", "--data", str(phantom_sites), "--results", str(tmp_path / "poc-results")]
    assert main([*words, "--workspace", str(tmp_path / "poc"), "--cache", str(tmp_path / "cache"), *QUICK]) == 0
    (found,) = (tmp_path / "poc-results").iterdir()
    made = weights(found)
    assert made.keys() == simulated.keys()
    assert all(torch.equal(made[name], simulated[name]) for name in made)


def simulate(sites, folder):
    """The results folder of a simulation of plain FedAvg."""
    words = ["simulate", "fedavg", "--data", str(sites), "--results", str(folder / "results")]
    assert main([*words, "--cache", str(folder / "cache"), *QUICK]) == 0
    (found,) = (folder / "results").iterdir()
    return found


def weights(results):
    """The final model."""
    model = torch.load(results / "global_model.pt", weights_only=True)["model"]
    return {name: torch.as_tensor(value) for name, value in model.items()}


def link(source, target):
    """Instead of a copy."""
    target = Path(target)
    target.symlink_to(Path(source).resolve())
    return target
