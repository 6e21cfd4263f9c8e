"""The server's disk is lost in the middle of a job: it is restored from a backup on another one, and goes on."""

import json
import shutil

import pytest

from fedbrats.admin.kits import open_kit
from fedbrats.admin.run.processes import stop
from fedbrats.admin.run.remote import submit
from fedbrats.admin.run.sessions import admin_session
from tests.end_to_end import runbook
from tests.end_to_end.consortium import (
    ADMIN,
    LEAD,
    MEMBER,
    NORTH,
    SERVER,
    SOUTH,
    Consortium,
    fedbrats,
    start_kit,
    wait_for,
)

pytestmark = [pytest.mark.end_to_end, pytest.mark.long, pytest.mark.timeout(900)]


def test_a_server_that_lost_its_disk_has_everything_and_still_revokes(phantom_sites, tmp_path):
    federation = Consortium(tmp_path, phantom_sites, sites=2)
    archive = tmp_path / "elsewhere" / "server-monday.tar"
    archive.parent.mkdir()
    second = tmp_path / "second"
    try:
        federation.start()
        federation.wait_until_connected()
        first_jobs = {"first": federation.job(sites=[NORTH], num_rounds=1)}
        ((done, status),) = federation.submit(first_jobs).values()
        assert status == "FINISHED:COMPLETED"
        for name in (SOUTH, MEMBER):
            fedbrats("revoke", name, "--kit", federation.kit(ADMIN), cwd=tmp_path)
        refused = fedbrats("status", "--kit", federation.kit(MEMBER), cwd=tmp_path, check=False)
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert "could not log in" in refused.stderr
        with admin_session(federation.kit(LEAD)) as session:
            running = submit(session, federation.job(sites=[NORTH], num_rounds=8, local_steps=40))
        rows = federation.kit(SERVER) / running / "fedbrats" / "rows.jsonl"
        wait_for(lambda: rows.exists() and rows.read_text().count('"kind": "round"') >= 2)
        shown = json.loads(fedbrats("status", "--kit", federation.kit(LEAD), "--json", cwd=tmp_path).stdout)
        assert {each["name"]: each["state"] for each in shown["participants"]} == {NORTH: "connected", SOUTH: "missing"}
        (job,) = [job for job in shown["jobs"] if job["job_id"] == running]
        assert (job["submitter"], job["round"].endswith("/8")) == (LEAD, True)
        command = runbook.inline("fedbrats backup").split()[1:]
        assert command == ["backup", SERVER, "--out", "/backup/server-monday.tar"]
        fedbrats(*command[:3], archive, cwd=federation.kits)

        said = json.loads(fedbrats("stop", federation.kit(SERVER), "--json", cwd=tmp_path).stdout)
        assert said["jobs"] == [running]
        assert said["seconds"] < 20
        shutil.rmtree(federation.kit(SERVER))
        shutil.rmtree(tmp_path / "storage")
        words = ["restore", archive, second / SERVER, "--storage", second / "storage", "--json"]
        said = json.loads(fedbrats(*words, cwd=tmp_path).stdout)
        assert said["name"] == open_kit(second / SERVER).name == SERVER
        start_kit(second / SERVER)
        wait_for(lambda: _connected(federation) == {NORTH})

        for kit in (second / SERVER, federation.kit(NORTH)):
            health = json.loads(fedbrats("health", kit, "--json", cwd=tmp_path).stdout)
            numbers = {metric["name"]: metric["value"] for metric in health["metrics"]}
            assert (health["said"], numbers["fedbrats_up"]) == ([], 1)
            assert numbers["fedbrats_connections"] >= 1
        assert federation.jobs() >= {done, running}
        summary = fedbrats("fetch", done, "--kit", federation.kit(LEAD), "--json", cwd=tmp_path)
        assert json.loads(summary.stdout)["per_site"][NORTH]
        assert "disable_client" in (second / SERVER / "audit.log").read_text()
        again = fedbrats("submit", "--resume", running, "--kit", federation.kit(LEAD), "--wait", cwd=tmp_path)
        assert "/8 rounds done" in again.stderr
        assert "FINISHED:COMPLETED" in again.stderr
        assert _connected(federation) == {NORTH}, "the revoked hospital is back"
        fedbrats("stop", federation.kit(NORTH), cwd=tmp_path)
        wait_for(lambda: _connected(federation) == set(), timeout_s=30)  # it said good-bye
    finally:
        stop(second, tmp_path)


def _connected(federation):
    try:
        return federation.connected()
    except Exception:  # FLARE raises many kinds while the server is not there yet
        return set()
