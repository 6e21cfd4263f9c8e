"""The job `evaluate` in production: the lead's signed job is accepted, a model exchanged afterwards is not."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fedbrats.admin.run.processes import find_processes
from fedbrats.admin.run.remote import fetch, submit, wait_for_end
from fedbrats.admin.run.sessions import admin_session
from fedbrats.jobs.build import build_job
from tests.end_to_end.consortium import LEAD, Consortium

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(3000)]
FEDBRATS = str(Path(sys.executable).parent / "fedbrats")


@pytest.fixture(scope="module")
def consortium(tmp_path_factory, phantom_sites):
    folder = tmp_path_factory.mktemp("signed")
    federation = Consortium(folder, phantom_sites, sites=2)
    try:
        federation.start()
        federation.wait_until_connected(timeout_s=600)
        yield federation
    finally:
        federation.stop()
        assert find_processes(folder) == []


@pytest.fixture(scope="module")
def fedper(consortium):
    """The results folder of a FedPer, fetched by the lead."""
    results = consortium.folder / "fedper"
    with admin_session(consortium.kit(LEAD)) as session:
        job_id = submit(session, consortium.job("fedper", num_rounds=1))
        assert wait_for_end(session, job_id) == "FINISHED:COMPLETED"
        fetch(session, job_id, results)
    return results


def test_the_leads_signed_job_is_evaluated_by_every_hospital(consortium, fedper):
    words = ["submit", "evaluate", "--kit", consortium.kit(LEAD), "--models", fedper, "--wait", "--json"]
    done = subprocess.run([FEDBRATS, *map(str, words)], capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    with admin_session(consortium.kit(LEAD)) as session:
        document = fetch(session, json.loads(done.stdout)["job_id"], consortium.folder / "evaluated")
    (entry,) = document["evaluation"]
    assert (entry["model"], entry["personal_of"], entry["own_personal"]) == ("fedper", None, True)
    assert sorted(entry["sites"]) == sorted(consortium.sites)
    assert all(found["dice"] for found in entry["sites"].values())


def test_models_are_covered_by_the_signature(consortium, fedper, tmp_path):
    from nvflare.lighter.utils import load_private_key_file, sign_folders, verify_folder_signature

    job_dir = build_job("evaluate", tmp_path, models=[fedper])
    kit = consortium.kit(LEAD) / "startup"
    sign_folders(str(job_dir), load_private_key_file(str(kit / "client.key")), str(kit / "client.crt"))
    assert verify_folder_signature(str(job_dir), str(kit / "rootCA.pem"))
    model = job_dir / "app" / "models" / "fedper.safetensors"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    assert not verify_folder_signature(str(job_dir), str(kit / "rootCA.pem"))
