"""A whole job in FLARE's simulator: personal heads, the Contribution Factor, and a site that sends NaN."""

import json

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
