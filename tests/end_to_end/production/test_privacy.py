"""What leaves a hospital, seen from the server: a hospital's own rules hold whatever a job says."""

import json
from contextlib import contextmanager

import pytest

from fedbrats.data.cases.datalist import read_datalist
from fedbrats.rows import read_rows
from tests.end_to_end.consortium import CENTRAL, EAST, LEAD, QUICK, SERVER, SOUTH, WEST, fedbrats
from tests.end_to_end.intruders import change
from tests.end_to_end.production.conftest import DATE
from tests.end_to_end.wiretap import HEARD, everything_in

pytestmark = pytest.mark.end_to_end


def test_no_name_path_or_date_of_a_case_reaches_the_server(consortium, results):
    """Every byte that the server received, wrote and stored, and all that the lead fetched of it."""
    secrets = {DATE.encode()}
    for folder in consortium.folder.glob("sites/*/"):
        secrets.add(str(folder).encode())
        for case in read_datalist(folder).cases:
            secrets |= {
                case.name.encode(),
                case.patient.encode(),
                *(path.name.encode() for path in case.files.values()),
            }
    secrets |= {str(consortium.kit(site)).encode() for site in consortium.sites}
    heard = consortium.kit(SERVER) / HEARD
    for known in (b"training_cases", b"net.model", b"hospital-north", _manifest(results, "hospital-north")):
        assert known in heard.read_bytes(), "the wiretap hears nothing"
    seen = 0
    for name, content in everything_in(consortium.kit(SERVER), consortium.folder / "storage", results):
        assert [secret for secret in secrets if secret in content] == [], name
        seen += len(content)
    assert seen > 1e6


def test_a_hospital_below_its_own_number_of_cases_is_silent_on_them(results):
    rows = read_rows(results / "rows.jsonl")
    for row in rows:
        if row["kind"] == "metrics":
            assert (row["dice"] is None) == (row["iou"] is None) == (row["site"] == EAST)
        if row["kind"] == "site":
            assert row["loss"] is not None, "two training cases are behind it everywhere"
    summary = json.loads((results / "summary.json").read_text())
    assert summary["per_site"][EAST]["dice"] is None
    assert summary["dice"] is not None


@pytest.fixture(scope="module")
def ruled_jobs(consortium):
    """Jobs, side by side, at hospitals whose own rules they meet: name -> (job id, status)."""
    clip = {"path": "nvflare.app_common.filters.percentile_privacy.PercentilePrivacy", "args": {"gamma": 1e-9}}
    keep = {"path": "fedbrats.flare.kit.site_gate.SiteGate", "args": {"keep": [personal()[0]]}}
    jobs = {
        "clipped": consortium.job(sites=[CENTRAL], num_rounds=1),
        "unfiltered": change(consortium.job("fedper", sites=[WEST], num_rounds=1), "client", _without_filters),
        "kept": consortium.job(sites=[SOUTH], num_rounds=1),
    }
    with _extra_filter(consortium.kit(CENTRAL), clip), _extra_filter(consortium.kit(SOUTH), keep):
        return consortium.submit(jobs)


def test_a_hospitals_filter_wins_over_the_job(consortium, ruled_jobs):
    """The job asks for no filter; the hospital lets through one billionth of every weight's change."""
    changes = _fetch_changes(consortium, *ruled_jobs["clipped"])
    assert 0 < max(changes.values()) < 1e-7


def test_personal_weights_that_a_job_asks_for_do_not_leave(consortium, ruled_jobs):
    """FedPer without its filter: the site's gate takes the personal weights out all the same."""
    changes = _fetch_changes(consortium, *ruled_jobs["unfiltered"])
    assert {name for name, change in changes.items() if change == 0} >= set(personal())
    assert max(changes.values()) > 0


def test_a_hospital_that_keeps_weights_gives_nothing_to_a_job_that_asks_for_them(consortium, ruled_jobs):
    """The site says why, the server that nothing came."""
    job_id, status = ruled_jobs["kept"]
    assert status != "FINISHED:COMPLETED"
    assert f"this hospital keeps {personal()[0]}" in consortium.job_log(SOUTH, job_id)
    answers = [line for line in consortium.job_log(SERVER, job_id).splitlines() if job_id in line]
    assert [line for line in answers if f"peer={SOUTH}" in line and "peer_rc=TASK_RESULT_FILTER_ERROR" in line]


def personal():
    """The weights of the network that FedPer keeps at a site."""
    from fedbrats.model.network import SegmentationNetwork

    return SegmentationNetwork(QUICK["network"]).personal_names("head")


def _without_filters(document):
    document["task_result_filters"] = []


def _fetch_changes(consortium, job_id, status):
    """How far a finished job has moved each weight from where it began."""
    import torch

    from fedbrats.model.network import SegmentationNetwork

    assert status == "FINISHED:COMPLETED"
    fetched = fedbrats("fetch", job_id, "--kit", consortium.kit(LEAD), "--json", cwd=consortium.folder)
    results = consortium.folder / json.loads(fetched.stdout)["results"]
    initial = SegmentationNetwork(QUICK["network"]).state_dict()
    final = torch.load(results / "global_model.pt", weights_only=True)["model"]
    return {name: float((final[name] - initial[name]).abs().max()) for name in initial}


def _manifest(results, site):
    provenance = json.loads((results / "provenance.json").read_text())
    return provenance["sites"][site]["manifest"].encode()


@contextmanager
def _extra_filter(kit, entry):
    """A hospital's privacy.json with one filter more, while the block runs."""
    path = kit / "local" / "privacy.json"
    before = path.read_text()
    document = json.loads(before)
    document["scopes"][0]["task_result_filters"].append(entry)
    path.write_text(json.dumps(document))
    try:
        yield
    finally:
        path.write_text(before)
