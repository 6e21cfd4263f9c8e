"""Jobs run to their end; the lead has the result and where it comes from, the member has neither."""

import json
import re
import signal
import subprocess
import urllib.request
from contextlib import contextmanager

import nvflare
import pytest

from fedbrats import __version__
from fedbrats.rows import read_rows
from tests.end_to_end.consortium import EAST, FEDBRATS, LEAD, MEMBER, NORTH, QUICK, SERVER, fedbrats, wait_for

pytestmark = pytest.mark.end_to_end


def test_the_doctor_finds_every_kit_healthy(consortium):
    for name in (SERVER, *consortium.sites, LEAD):
        done = fedbrats("doctor", consortium.kit(name), "--json", cwd=consortium.folder, check=False)
        document = json.loads(done.stdout)
        assert document["healthy"], [f for f in document["findings"] if f["state"] == "failed"]
        answers = [f for f in document["findings"] if f["check"] == "server"]
        assert name == SERVER or "both certificates accepted" in answers[0]["found"]


@contextmanager
def watched(kit):
    """The address of the live page of a kit, as `fedbrats watch` serves it."""
    words = [FEDBRATS, "watch", str(kit), "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield next(found[1] for line in process.stdout if (found := re.search(r'"url": "([^"]+)"', line)))
        finally:
            process.send_signal(signal.SIGINT)


def test_a_hospital_watches_itself_and_the_server_everybody(consortium):
    for name in (NORTH, SERVER):
        with watched(consortium.kit(name)) as url:
            page = urllib.request.urlopen(url, timeout=120).read().decode()
        numbers = dict(re.findall(r">(up|connections)</th><td>[^<]*</td><td>(\d+)</td>", page))
        assert (numbers["up"], int(numbers["connections"]) > 0) == ("1", True)
        assert [site for site in consortium.sites if site in page] == ([NORTH] if name == NORTH else consortium.sites)


def test_the_lead_fetches_the_result(consortium, results):
    summary = json.loads((results / "summary.json").read_text())
    assert sorted(summary["per_site"]) == sorted(consortium.sites)
    assert summary["rounds"] == QUICK["num_rounds"]
    assert (results / "global_model.pt").is_file()


def test_the_result_says_where_it_comes_from(consortium, fedavg, results):
    provenance = json.loads((results / "provenance.json").read_text())
    assert provenance["job_id"] == fedavg
    assert (provenance["submitter_name"], provenance["submitter_role"]) == (LEAD, "lead")
    assert len(provenance["job_sha256"]) == 64
    assert provenance["fedbrats"] == __version__
    assert {name: provenance["config"][name] for name in QUICK} == QUICK
    assert sorted(provenance["sites"]) == sorted(consortium.sites)
    assert {site["version"] for site in provenance["sites"].values()} == {__version__}
    manifests = {site["manifest"] for site in provenance["sites"].values()}
    assert len(manifests) == len(consortium.sites), "two sites trained on one datalist"
    assert all(len(manifest) == 64 for manifest in manifests)


def test_the_member_sees_the_job_and_is_refused_its_result(consortium, fedavg):
    shown = json.loads(fedbrats("status", "--kit", consortium.kit(MEMBER), "--json", cwd=consortium.folder).stdout)
    assert set(shown["sites"]) >= set(consortium.sites)
    assert (shown["server"]["fedbrats"], shown["server"]["flare"]) == (__version__, nvflare.__version__)
    assert shown["server"]["revoked"] == []
    versions = {each["name"]: (each["fedbrats"], each["flare"]) for each in shown["participants"]}
    told = {versions[site] for site in consortium.sites} - {(None, None)}  # a busy site may not answer in time
    assert told == {(__version__, nvflare.__version__)}
    assert fedavg in [job["job_id"] for job in shown["jobs"]]
    refused = fedbrats("fetch", fedavg, "--kit", consortium.kit(MEMBER), cwd=consortium.folder, check=False)
    assert refused.returncode == 1
    assert f"refused this to {MEMBER} (member)" in refused.stderr


def test_people_ask_about_a_job_as_their_role_allows(consortium, fedavg):
    def job(*words, who=LEAD, **also):
        return fedbrats("job", *words, "--kit", consortium.kit(who), cwd=consortium.folder, **also)

    shown = json.loads(job("show", fedavg, "--json", who=MEMBER).stdout)
    assert (shown["facts"]["submitter"], shown["facts"]["status"]) == (LEAD, "FINISHED:COMPLETED")
    listed = json.loads(job("list", "--consortium", "--json", who=MEMBER).stdout)["jobs"]
    assert {each["submitter"] for each in listed if each["job_id"] == fedavg} == {LEAD}
    assert "fedbrats" in job("logs", fedavg).stdout
    assert "FINISHED:COMPLETED" in job("follow", fedavg).stderr
    for words, who, sentence in (
        (("logs", fedavg), MEMBER, f"refused this to {MEMBER} (member)"),
        (("abort", fedavg), MEMBER, "has ended already"),
        (("show", fedavg[:-1] + "z"), LEAD, "is no job id"),
        (("show", "0" * 8 + fedavg[8:]), LEAD, "knows no such job"),
    ):
        refused = job(*words, who=who, check=False)
        assert refused.returncode == 1
        assert sentence in refused.stderr


@pytest.mark.parametrize("name", [SERVER, EAST])
def test_the_end_of_a_job_cleans_where_it_is_set(consortium, fedavg, name):
    wait_for(lambda: "cleaned at the end of a job: nothing is left that may go" in consortium.log(name))


def test_timeouts_are_advised_from_a_measured_round(consortium, results):
    words = ("job", "timeouts", "fedavg", "--mbit", 20, "--results", results, "--json")
    document = json.loads(fedbrats(*words, cwd=consortium.folder).stdout)
    answers = [row["answered_s"] for row in read_rows(results / "rows.jsonl") if row["kind"] == "site"]
    assert document["round_s"] == max(answers)
