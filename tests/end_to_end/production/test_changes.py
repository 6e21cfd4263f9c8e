"""The consortium changes while it runs: hospitals and people come, hospitals leave, certificates are renewed."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from fedbrats.admin.kits import fingerprint, open_kit
from fedbrats.admin.run.processes import find_processes, stop
from fedbrats.admin.run.remote import submit, wait_for_end
from fedbrats.admin.run.sessions import admin_session
from fedbrats.rows import read_rows
from fedbrats.shipped import shipped_dir
from tests.end_to_end import runbook
from tests.end_to_end.consortium import (
    ADMIN,
    LEAD,
    NORTH,
    SERVER,
    WEST,
    Consortium,
    fedbrats,
    kit_log,
    leave,
    start_kit,
    wait_for,
)
from tests.end_to_end.intruders import change
from tests.end_to_end.own_key import make_own_key_kit
from tests.end_to_end.production.conftest import edit

pytestmark = pytest.mark.end_to_end
WAIT_S = 4  # for a hospital that has left, in every round
LATE = "hospital-6"


def test_a_hospital_that_comes_later_joins_with_its_kit_the_wheel_and_the_constraints(consortium, tmp_path):
    """Both pages of the runbook, as they stand there; nothing of this repository but the wheel is in reach."""
    data = consortium.folder / "sites" / "site-1"
    new_kits = _provision(consortium, runbook.inline("fedbrats provision add-site"))
    shutil.copy(new_kits / SERVER / "local" / "fedbrats.json", consortium.kit(SERVER) / "local")
    kit = Path(shutil.copytree(new_kits / LATE, tmp_path / LATE))
    shutil.copy(runbook.wheel_of(shipped_dir(), tmp_path / "dist"), kit)
    edit(kit / "local" / "fedbrats.json", min_cases=1)  # the site has three cases
    root = fingerprint(open_kit(consortium.kit(ADMIN)).root)
    environment = {"PIP_NO_INDEX": "1", "PYTHONNOUSERSITE": "1"}
    try:
        make_venv, *lines = runbook.block("Hospital IT")
        runbook.run(make_venv, kit)
        runbook.borrow_packages(kit / "venv")
        for line in lines:
            line = line.replace("/data/study/site-1", str(data)).replace("AB:CD:...", root)
            runbook.run(line, kit, environment=environment)
        wait_for(lambda: LATE in consortium.connected())
        job = consortium.job(sites=[LATE], num_rounds=2)
        done = fedbrats("submit", job, "--kit", consortium.kit(LEAD), "--wait", "--json", cwd=tmp_path)
        job_id, status = json.loads(done.stdout).values()
        assert status == "FINISHED:COMPLETED"
        assert "fedavg: FINISHED:COMPLETED" in done.stderr
        shown = json.loads(fedbrats("status", "--kit", consortium.kit(LEAD), "--json", cwd=tmp_path).stdout)
        assert {each["name"]: each["state"] for each in shown["participants"]}[LATE] == "connected"
        assert [each["submitter"] for each in shown["jobs"] if each["job_id"] == job_id] == [LEAD]
        results = _fetch(consortium, job_id)
        assert [row["site"] for row in results if row["kind"] == "site" and row["accepted"]] == [LATE, LATE]
        package = json.loads(_python(kit, "import fedbrats, json; print(json.dumps(fedbrats.__file__))"))
        assert Path(package).is_relative_to(kit / "venv")
        assert f"of {Path(package).parent}\n" in kit_log(kit) + (kit / job_id / "log.txt").read_text()
        runbook.run(runbook.inline("venv/bin/fedbrats stop"), kit, environment=environment)
        assert not find_processes(kit)
        wait_for(lambda: LATE not in consortium.connected(), 30)
    finally:
        stop(tmp_path)
        _take_off_the_list(consortium, LATE)


def test_a_hospital_with_a_key_of_its_own_joins(consortium, tmp_path):
    """Only the request travels: `nvflare cert request`, `approve`, `nvflare package`, as the runbook has it."""
    kit = make_own_key_kit(consortium, tmp_path)
    try:
        start_kit(kit)
        wait_for(lambda: "hospital-new" in consortium.connected())
    finally:
        stop(tmp_path)
        _take_off_the_list(consortium, "hospital-new")


def test_a_person_comes_later(consortium):
    new_kits = _provision(consortium, runbook.inline("fedbrats provision add-user"))
    kit = new_kits / "reader@sixth.example"
    shown = json.loads(fedbrats("status", "--kit", kit, "--json", cwd=consortium.folder).stdout)
    assert set(shown["sites"]) >= set(consortium.sites)


def test_a_renewed_certificate_takes_the_place_of_the_old_one(consortium):
    """The hospital puts the new `startup` in its kit and keeps `local`."""
    kit = consortium.kit(NORTH)
    before = open_kit(kit).certificate
    new_kits = _provision(consortium, runbook.inline("fedbrats provision renew hospital"))
    assert NORTH in consortium.connected(), "the old certificate works until its end"
    leave(kit)
    shutil.rmtree(kit / "startup")
    shutil.copytree(new_kits / NORTH / "startup", kit / "startup")
    assert open_kit(kit).certificate != before
    registered = kit_log(kit).count("Successfully registered client")
    start_kit(kit)
    wait_for(lambda: kit_log(kit).count("Successfully registered client") > registered)
    assert NORTH in consortium.connected()


@pytest.mark.timeout(1800)
def test_a_hospital_leaves_in_the_middle_of_a_job_and_the_others_finish(consortium):
    """By its own stop script; the rows say from which round on it is missing. Then it comes back."""
    waits = {"first_deadline_s": 300, "deadline_floor_s": WAIT_S, "evaluation_timeout_s": 5 * WAIT_S}
    waits["deadline_factor"] = 1.0  # of the first round, in which cases were prepared: the others are far quicker
    job = consortium.job(sites=consortium.sites, num_rounds=6, local_steps=40, min_clients=4)
    change(job, "server", lambda document: document.update(waits))
    with admin_session(consortium.kit(LEAD)) as session:
        job_id = submit(session, job)
        rows = consortium.kit(SERVER) / job_id / "fedbrats" / "rows.jsonl"
        counted = f'"site": "{WEST}", "accepted": true'
        wait_for(lambda: rows.exists() and counted in rows.read_text(), timeout_s=400)
        leave(consortium.kit(WEST))
        assert wait_for_end(session, job_id) == "FINISHED:COMPLETED"
    start_kit(consortium.kit(WEST))
    found = _fetch(consortium, job_id)
    rounds = [row for row in found if row["kind"] == "round"]
    assert [row for row in rounds if WEST in row["answered"]]
    assert rounds[-1]["silent"] == [WEST]
    assert sorted(rounds[-1]["answered"]) == sorted(set(consortium.sites) - {WEST})
    evaluated = {row["site"] for row in found if row["kind"] == "metrics" and row["stage"] == "final"}
    assert evaluated == set(consortium.sites) - {WEST}
    summary = json.loads((consortium.folder / "results" / job_id / "summary.json").read_text())
    assert summary["silent_rounds"][WEST] < len(rounds)
    consortium.wait_until_connected()


def test_a_new_root_replaces_every_kit_and_keeps_the_jobs(phantom_sites, tmp_path):
    """A consortium of its own, for everything stops."""
    federation = Consortium(tmp_path, phantom_sites, sites=1)
    site = federation.sites[0]
    try:
        federation.start()
        federation.wait_until_connected()
        with admin_session(federation.kit(LEAD)) as session:
            job_id = submit(session, federation.job(num_rounds=1, min_clients=1))
            wait_for_end(session, job_id)
        new_kits = _provision(federation, runbook.inline("fedbrats provision renew --root"))
        federation.stop()
        old_startup = tmp_path / "old" / "startup"
        shutil.copytree(federation.kit(site) / "startup", old_startup)
        for name in (SERVER, site, LEAD, ADMIN):
            shutil.rmtree(federation.kit(name) / "startup")
            shutil.copytree(new_kits / name / "startup", federation.kit(name) / "startup")
        federation.start()
        federation.wait_until_connected()
        assert job_id in federation.jobs()
        refused = fedbrats("doctor", old_startup.parent, cwd=tmp_path, check=False)
        assert "its certificate is refused" in refused.stdout
    finally:
        federation.stop()


def _provision(consortium, command):
    """Run a command of the runbook on a consortium's own project; returns the folder of the new kits."""
    if not (consortium.folder / "project.yml").exists():
        consortium.write_project()
    words = command.split()[1:]
    done = fedbrats(*words, "--out", "provisioned", "--json", cwd=consortium.folder)
    return consortium.folder / json.loads(done.stdout)["kits"]


def _fetch(consortium, job_id):
    """The rows of a finished job, fetched by the lead."""
    done = fedbrats("fetch", job_id, "--kit", consortium.kit(LEAD), "--json", cwd=consortium.folder)
    return read_rows(consortium.folder / json.loads(done.stdout)["results"] / "rows.jsonl")


def _take_off_the_list(consortium, site):
    """A site that was stopped by its script: the console's remove_client."""
    if site in consortium.connected():
        with admin_session(consortium.kit(ADMIN)) as session:
            session.remove_client(site)


def _python(kit, code):
    command = [str(kit / "venv" / "bin" / "python"), "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=kit).stdout
