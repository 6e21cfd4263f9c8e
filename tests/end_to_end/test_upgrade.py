"""Versions of the package in one consortium: what works, what is refused and in which words, and the way back.

Each participant runs a wheel of its own. 0.1.0 and 0.2.0 work together, 0.2.0 and 0.3.0 too, 0.1.0 and 0.3.0 do not.
The second test is the runbook's own commands, character by character, in kits with a virtual environment each.
"""

import json
import shutil
import subprocess
import sys

import pytest

from fedbrats.admin.run.processes import participant_environment, stop
from tests.end_to_end import runbook
from tests.end_to_end.consortium import LEAD, NORTH, SERVER, SETTINGS, SOUTH, Consortium, wait_for
from tests.end_to_end.versions import OLDEST, Machine, build_version, install, send_upgrade, wheel_with_version

pytestmark = [pytest.mark.end_to_end, pytest.mark.long, pytest.mark.timeout(1800)]


class Versions:
    """Runs kits and commands with a version of one's choice."""

    def __init__(self, consortium, installed):
        self.consortium, self.installed = consortium, installed  # by version, the folder with the package

    def environment(self, version):
        return {**participant_environment(), "PYTHONPATH": str(self.installed[version])}

    def start(self, version, *names):
        for name in names:
            kit = self.consortium.kit(name)
            stop(kit)
            (kit / "local" / "environment").write_text("PYTHONPATH\n")
            runbook.run("startup/start.sh", kit, environment=self.environment(version))

    def fedbrats(self, version, *words):
        return subprocess.run(
            [sys.executable, "-m", "fedbrats.cli.main", *map(str, words)],
            cwd=self.consortium.folder, env=self.environment(version), capture_output=True, text=True, timeout=600,
        )  # fmt: skip

    def status(self):
        done = self.fedbrats("0.1.0", "status", "--kit", self.consortium.kit(LEAD), "--json")
        return json.loads(done.stdout) if done.returncode == 0 else {"participants": [], "server": {}}

    def wait_for(self, **expected):
        """Until the server says that these sites are there with these versions."""
        names = {"north": NORTH, "south": SOUTH}

        def told():
            shown = self.status()
            there = {each["name"]: each["fedbrats"] for each in shown["participants"] if each["state"] == "connected"}
            ours = {
                "server": shown["server"].get("fedbrats"),
                **{name: there.get(site) for name, site in names.items()},
            }
            return {name: ours[name] for name in expected} == expected

        wait_for(told, timeout_s=300)

    def job(self, version, *words):
        """Build and submit a job with this version, and wait; returns its status and who took part, by version."""
        words = ["submit", "fedavg", "--kit", self.consortium.kit(LEAD), *SETTINGS, "--set", "num_rounds=1", *words]
        done = self.fedbrats(version, *words, "--wait", "--json")
        said = json.loads(done.stdout)
        if said["status"] != "FINISHED:COMPLETED":
            return said["status"], {}
        fetched = self.fedbrats(version, "fetch", said["job_id"], "--kit", self.consortium.kit(LEAD), "--json")
        folder = self.consortium.folder / json.loads(fetched.stdout)["results"]
        rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
        return said["status"], {row["site"]: row["version"] for row in rows if row["kind"] == "site"}


@pytest.fixture
def versions(tmp_path, phantom_sites):
    consortium = Consortium(tmp_path / "consortium", phantom_sites, sites=2)
    try:
        yield Versions(consortium, {version: build_version(tmp_path, version) for version in OLDEST})
    finally:
        consortium.stop()


def test_the_server_first_then_sites_and_the_way_back(versions):
    log = versions.consortium.log
    versions.start("0.2.0", SERVER)
    versions.start("0.1.0", NORTH, SOUTH)
    versions.wait_for(server="0.2.0", north="0.1.0", south="0.1.0")
    both = {NORTH: "0.1.0", SOUTH: "0.1.0"}
    assert versions.job("0.1.0") == ("FINISHED:COMPLETED", both), "a job of the version before"
    assert versions.job("0.2.0") == ("FINISHED:COMPLETED", both), "a job of the new version, at sites that are older"
    versions.start("0.2.0", NORTH)
    versions.wait_for(north="0.2.0", south="0.1.0")
    assert versions.job("0.2.0") == ("FINISHED:COMPLETED", {NORTH: "0.2.0", SOUTH: "0.1.0"})

    versions.start("0.3.0", SERVER)
    versions.wait_for(server="0.3.0", north="0.2.0", south="0.1.0")
    apart = {each["name"]: each["apart"] for each in versions.status()["participants"]}
    why = "fedbrats 0.3.0 works with 0.2.0 or later, and not with 0.1.0"
    assert apart == {NORTH: None, SOUTH: why}
    wait_for(lambda: f"{why}; site={SOUTH} version=0.1.0 server=0.3.0" in log(SERVER))
    status, sites = versions.job("0.1.0")
    assert (status, sites) == ("FINISHED:FAILED_TO_RUN", {})
    assert "0.1.0 made it, and 0.3.0 is installed here" in log(SERVER)
    status, sites = versions.job("0.3.0", "--set", "min_clients=1", "--set", "min_case_share=0")
    assert (status, sites) == ("FINISHED:COMPLETED", {NORTH: "0.2.0"}), "without the hospital that refuses"
    refusal = f"the job cannot run: 0.3.0 made it, and 0.1.0 is installed here; {why}; install fedbrats 0.3.0"
    assert refusal in log(SOUTH)

    versions.start("0.1.0", SERVER, NORTH)
    versions.wait_for(server="0.1.0", north="0.1.0", south="0.1.0")
    assert versions.job("0.1.0") == ("FINISHED:COMPLETED", both), "as before the upgrade"


def test_the_runbooks_own_commands_upgrade_and_go_back(tmp_path, phantom_sites):
    """At a hospital; the server's are the same, after a backup."""
    desk = Consortium(tmp_path / "desk", phantom_sites, sites=1)
    desk.write_project()
    wheels = {version: wheel_with_version(tmp_path, version) for version in ("0.1.0", "0.2.0")}
    versions = Versions(desk, {"0.1.0": "", "0.2.0": install(wheels["0.2.0"], tmp_path / "installed")})
    server, north = (Machine(shutil.copytree(desk.kit(name), tmp_path / "at" / name)) for name in (SERVER, NORTH))
    (server.kit / "venv").symlink_to(sys.prefix)
    try:
        server.start()
        north.install(wheels["0.1.0"])
        north.start()
        versions.wait_for(server="0.1.0", north="0.1.0")
        sent = send_upgrade(desk, versions.environment("0.2.0"), tmp_path / "media", wheels["0.2.0"])
        archive = tmp_path / "before.tar"
        server.run(runbook.inline("venv/bin/fedbrats backup"), [("/backup/before-0.2.0.tar", archive)])
        assert archive.stat().st_size > 0
        north.upgrade(sent[NORTH])
        versions.wait_for(server="0.1.0", north="0.2.0")
        north.go_back()
        versions.wait_for(server="0.1.0", north="0.1.0")
        assert json.loads((north.kit / "local" / "consortium.json").read_text())["fedbrats"] == "0.1.0"
    finally:
        stop(tmp_path)
