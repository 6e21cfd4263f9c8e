"""A federation of five sites trains FedAvg and FedPer, watched live, and then evaluates both models across sites."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fedbrats.admin.run.processes import find_processes
from fedbrats.data.phantom.cohort import CohortSettings, write_cohort
from fedbrats.data.split.sites import new_sites_folder, write_record
from fedbrats.model.network import SegmentationNetwork

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(3000)]
FEDBRATS = str(Path(sys.executable).parent / "fedbrats")
QUICK = ("--set", "network=tiny", "--set", "num_rounds=2", "--set", "local_steps=2")
PERSONAL = SegmentationNetwork("tiny").personal_names("head")
SHARING, SECRETIVE = "site-2", "site-3"  # one shares its personal models, one says nothing of fewer than 50 cases


def fedbrats(*words, cwd):
    done = subprocess.run([FEDBRATS, *map(str, words)], cwd=cwd, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where a POC of five sites is up."""
    folder = tmp_path_factory.mktemp("evaluation")
    with new_sites_folder(folder / "sites") as temporary:
        sites = list(write_cohort(temporary, CohortSettings(sites=5, cases=3, spacing_mm=4.0)))
        write_record(temporary, sites, {"made_by": "phantom"})
    fedbrats("poc", "up", "--data", "sites", cwd=folder)
    yield folder
    fedbrats("poc", "down", cwd=folder)
    assert find_processes(folder / "build" / "poc") == []


@pytest.fixture(scope="module")
def trained(folder):
    """The results folders of a FedAvg and a FedPer, and what the live report of the first showed meanwhile."""
    jobs = subprocess.Popen(
        [FEDBRATS, "poc", "submit", "fedavg", "fedper", *QUICK, "--json"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    said = next(line for line in jobs.stderr if "--live" in line)
    results = said.split("fedbrats report ")[1].split(" --live")[0]
    report = subprocess.Popen(
        [FEDBRATS, "report", results, "--live", "--out", "live.html"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    pages = set()
    while report.poll() is None:
        if (folder / "live.html").exists():
            pages.add((folder / "live.html").read_text())
        time.sleep(0.2)
    pages.add((folder / "live.html").read_text())
    assert report.returncode == 0, report.stderr.read()
    documents = [json.loads(line) for line in jobs.communicate(timeout=1500)[0].splitlines()]
    return [folder / document["results"] for document in documents], pages


@pytest.fixture(scope="module")
def evaluated(folder, trained):
    """The document of the job `evaluate` on both."""
    for site, fact in ((SHARING, {"share_personal_models": True}), (SECRETIVE, {"min_cases": 50})):
        path = next(folder.glob(f"build/poc/**/prod_00/{site}/local/fedbrats.json"))
        path.write_text(json.dumps({**json.loads(path.read_text()), **fact}))
    words = ("poc", "submit", "evaluate", "--models", *trained[0], "--json")
    return json.loads(fedbrats(*words, cwd=folder))


def test_the_live_report_follows_the_job_to_its_end(trained):
    pages = trained[1]
    live = [page for page in pages if 'http-equiv="refresh"' in page]
    assert live  # which rounds they show depends on when the two rounds ended; tests of the page have that
    assert all("Still running: fedavg" in page for page in live)
    (final,) = pages - set(live)
    assert "Highest mean Dice: fedavg" in final


def test_the_matrix_has_every_model_at_every_site(evaluated):
    entries = {(entry["model"], entry["personal_of"]): entry for entry in evaluated["evaluation"]}
    assert set(entries) == {("fedavg", None), ("fedper", None), ("fedper", SHARING)}
    assert not entries["fedavg", None]["own_personal"]
    assert entries["fedper", None]["own_personal"]
    for entry in entries.values():
        assert list(entry["sites"]) == [f"site-{number}" for number in range(1, 6)]
        for site, found in entry["sites"].items():
            assert (found["dice"] is None) == (site == SECRETIVE)
            assert found["dice"] is None or set(found["dice"]) == {"mean", "WT", "TC", "ET"}
    # A site's own personal part at that site is what "each site's own" means there.
    assert entries["fedper", SHARING]["sites"][SHARING] == entries["fedper", None]["sites"][SHARING]


def test_the_numbers_are_those_that_the_training_jobs_found(trained, evaluated):
    """Same final models, same validation cases, same mirror images."""
    entries = {entry["model"]: entry for entry in evaluated["evaluation"] if not entry["personal_of"]}
    for results in trained[0]:
        summary = json.loads((results / "summary.json").read_text())
        for site, found in entries[summary["job"]]["sites"].items():
            if site != SECRETIVE:
                assert found["dice"] == pytest.approx(summary["per_site"][site]["dice"], abs=1e-6)


def test_only_the_sharing_site_gave_its_personal_weights_away(folder, trained, evaluated):
    fedper = json.loads((trained[0][1] / "summary.json").read_text())["job_id"]
    server = folder / evaluated["results"] / "server"
    everything = b"".join(path.read_bytes() for path in server.rglob("*") if path.is_file())
    for number in range(1, 6):
        with np.load(folder / "build" / "poc" / "personal" / fedper / f"site-{number}" / "personal.npz") as own:
            assert set(own.files) == set(PERSONAL)
            assert not any(own[name].tobytes() in everything for name in own.files if own[name].size > 4)


def test_the_report_draws_the_matrix(folder, trained, evaluated):
    fedbrats("report", *trained[0], evaluated["results"], "--out", "report.html", cwd=folder)
    page = (folder / "report.html").read_text()
    section = page.split('<h2 id="cross-site-evaluation">')[1].split("</section>")[0]
    assert f"fedper with the personal part of {SHARING}" in section
    assert section.count('class="heat"') == 3 * 4
    assert "Highest mean Dice" in page


def test_models_are_asked_for_where_they_are_needed_and_only_there(folder, trained):
    for words, status, said in (
        (("evaluate",), 2, "name them with --models"),
        (("fedavg", "--models", trained[0][0]), 2, "takes no models"),
        (("evaluate", "--models", trained[0][0], trained[0][0]), 2, "given twice"),
        (("evaluate", "--models", "sites"), 1, "holds no global_model.pt"),
    ):
        done = subprocess.run(
            [FEDBRATS, "job", "build", *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == status
        assert said in done.stderr
