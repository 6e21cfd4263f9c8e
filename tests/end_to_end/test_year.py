"""A consortium's year on one machine, by the runbook's own commands; each stands there character by character.

Kits are handed over packed, each to a machine in a network namespace of its own; a study, a hospital that comes and
installs without internet, a key that is renewed, a start under a unit of systemd, a person and a hospital that are
revoked, a server that moves, the clean-up, the end. It prints its figures: `pytest -s tests/end_to_end/test_year.py`.

Only fedbrats itself is installed from the folder of packages: test_offline_install.py installs all, and test_upgrade.py
has the runbook's page on upgrading.
"""

import io
import json
import shutil
import signal
import sys
import tarfile
import time
from contextlib import contextmanager

import pyrage
import pytest

from fedbrats.admin.run.processes import find_processes, stop
from fedbrats.flare.process.statuses import TAKEN, UNUSABLE
from fedbrats.shipped import shipped_dir
from tests.end_to_end import runbook
from tests.end_to_end.consortium import (
    ADMIN,
    EAST,
    LEAD,
    MEMBER,
    NORTH,
    SERVER,
    SETTINGS,
    SOUTH,
    Consortium,
    fedbrats,
    kit_log,
    start_kit,
    wait_for,
)
from tests.end_to_end.network import joined_hosts, why_no_hosts
from tests.end_to_end.versions import Machine

pytestmark = [pytest.mark.end_to_end, pytest.mark.long, pytest.mark.timeout(1800)]
LATE = "hospital-6"
REGISTERED = "Successfully registered client"


@contextmanager
def hosts_if_any():
    """A namespace for each machine, and the server's address; where this machine gives none, nothing and a sentence."""
    if why := why_no_hosts():
        sys.stdout.write(f"all on one host: {why}\n")
        yield {}, "localhost"
    else:
        with joined_hosts(4, with_this=True) as hosts:
            yield dict(zip((SERVER, NORTH, SOUTH, LATE), hosts, strict=True)), next(iter(hosts.values()))


class Year:
    """The project admin's desk, and a folder for each machine."""

    def __init__(self, folder, phantom_sites, hosts, server_host):
        self.desk = Consortium(folder / "desk", phantom_sites, server_host=server_host, sites=2)
        self.desk.write_project()
        self.machines, self.folder, self._hosts = folder / "machines", folder, hosts
        self.figures = {}

    def machine(self, kit):
        """A machine with this kit, without internet."""
        return Machine(kit, self._hosts.get(kit.name), self.folder / "wheelhouse")

    def start(self, kit):
        """Start a kit in the namespace of its machine."""
        start_kit(kit, inside=self._hosts.get(kit.name))

    def stop(self, kit):
        """Stop a kit as its IT does, and note how long it took."""
        seconds = json.loads(fedbrats("stop", kit, "--json", cwd=self.folder).stdout)["seconds"]
        self.figures.setdefault("stop of a kit", []).append(round(seconds, 1))

    def disk(self, when, *folders):
        """Note what the server has on its disk, in MB, without its virtual environment."""
        self.figures.setdefault("server's disk, MB", {})[when] = megabytes(*folders)

    def admin(self, beginning, *more, names=()):
        """Run the runbook's command that begins like this at the desk; names: (what stands there, what is meant)."""
        words = runbook.inline(beginning).split()[1:]
        for said, meant in names:
            words = [str(meant) if word == said else word for word in words]
        return fedbrats(*words, *more, cwd=self.desk.folder)

    def hand_over(self, name):
        """Pack a kit, and unpack it at its receiver, who compares the checksums; returns the kit."""
        said = json.loads(self.admin("fedbrats provision pack", "--json", names=[(NORTH, name)]).stdout)
        archive = self.desk.folder / said["archive"]
        content = pyrage.passphrase.decrypt(archive.read_bytes(), said["passphrase"])
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            tar.extractall(self.machines, filter="data")
        runbook.run("sha256sum --check --quiet SHA256SUMS", self.machines / name)
        return self.machines / name

    def timed(self, what, do, until):
        """Note how long something takes until it is true."""
        began = time.monotonic()
        do()
        wait_for(until, timeout_s=300)
        self.figures[what] = round(time.monotonic() - began, 1)

    def connected(self):
        try:
            return self.desk.connected()
        except Exception:  # FLARE raises many kinds while the server is not there yet
            return set()

    def study(self):
        """Submit as the data scientist's page has it, and wait; returns the job's id."""
        line = runbook.block("Data scientist")[1].split("--set")[0]
        words = [*line.split()[1:-1], self.desk.kit(LEAD), *SETTINGS, "--set", "num_rounds=1", "--wait", "--json"]
        done = json.loads(fedbrats(*words, cwd=self.desk.folder).stdout)
        job, status = done.values()
        assert status == "FINISHED:COMPLETED"
        return job


def megabytes(*folders):
    files = {path for folder in folders for path in folder.rglob("*") if path.is_file() and "venv" not in path.parts}
    return round(sum(path.stat().st_size for path in files) / 1e6, 1)


def test_a_year(tmp_path, phantom_sites):
    with hosts_if_any() as (hosts, server_host):
        year = Year(tmp_path, phantom_sites, hosts, server_host)
        try:
            _play(year, phantom_sites, tmp_path)
            sys.stdout.write(json.dumps(year.figures) + "\n")
        finally:
            stop(tmp_path)


def _play(year, phantom_sites, folder):
    server, north, south = (year.hand_over(name) for name in (SERVER, NORTH, SOUTH))
    year.timed("start of everything", lambda: [year.start(kit) for kit in (server, north, south)],
               lambda: year.connected() == {NORTH, SOUTH})  # fmt: skip
    storage = year.desk.folder / "storage"
    year.disk("at the start", server, storage)
    first = year.study()
    year.disk("after a job", server, storage)
    _a_hospital_comes(year, server, phantom_sites)
    _a_key_is_renewed(year, north)
    _a_person_and_a_hospital_are_revoked(year, (server, north))
    new = _the_server_moves(year, server, folder)
    assert first in year.desk.jobs()
    year.study()
    _clean_up(year, new, folder)
    for kit in (north, year.machines / LATE, new):
        year.stop(kit)
    stop(folder / "machines" / SOUTH)
    assert not find_processes(folder)


def _a_hospital_comes(year, server, phantom_sites):
    said = json.loads(year.admin("fedbrats provision add-site", "--json").stdout)
    change = said["changes"][SERVER]
    for path in change["files"]:
        shutil.copy(year.desk.folder / change["folder"] / path, server / path)
    kit = year.hand_over(LATE)
    fedbrats("site", ".", "--data", phantom_sites / "site-1", "--min-cases", "1", cwd=kit)
    wheel = runbook.wheel_of(shipped_dir(), year.folder / "wheelhouse" / "wheels")
    machine = year.machine(kit)
    began = time.monotonic()
    machine.install(wheel)
    year.figures["install and check of a hospital without internet"] = round(time.monotonic() - began, 1)
    year.timed("start of a hospital", machine.start, lambda: LATE in year.connected())


def _a_key_is_renewed(year, north):
    """The hospital begins with it under its unit for systemd, of which the exit statuses are looked at."""
    year.admin("fedbrats provision renew hospital")
    year.stop(north)
    kept = year.machines / "kept"
    north.rename(kept)
    new = year.hand_over(NORTH)
    shutil.rmtree(kept / "startup")
    shutil.move(new / "startup", kept / "startup")
    shutil.rmtree(new)
    kept.rename(north)
    (north / "venv").symlink_to(sys.prefix)  # an installed one is the same to the unit
    machine, settings = year.machine(north), north / "local" / "fedbrats.json"
    whole = settings.read_text()
    settings.write_text("{")
    assert machine.unit().wait(120) == UNUSABLE, "systemd leaves it alone"
    settings.write_text(whole)
    before = kit_log(north).count(REGISTERED)
    units = []
    year.timed("start of a unit, with the new key", lambda: units.append(machine.unit()),
               lambda: kit_log(north).count(REGISTERED) > before)  # fmt: skip
    assert machine.unit().wait(120) == TAKEN, "systemd tries it again"
    began = time.monotonic()
    units[0].send_signal(signal.SIGINT)
    assert units[0].wait(120) == 0, "systemd has stopped it"
    year.figures["stop of a unit"] = round(time.monotonic() - began, 1)
    (north / "venv").unlink()
    year.start(north)
    wait_for(lambda: NORTH in year.connected())


def _a_person_and_a_hospital_are_revoked(year, kits):
    for name in (SOUTH, MEMBER):
        year.admin("fedbrats revoke hospital", names=[(EAST, name), (ADMIN, year.desk.kit(ADMIN))])
    refused = fedbrats("status", "--kit", year.desk.kit(MEMBER), cwd=year.desk.folder, check=False)
    assert (refused.returncode, "could not log in" in refused.stderr) == (1, True)
    wait_for(lambda: SOUTH not in year.connected())
    listed = json.loads(year.admin("fedbrats provision revoke hospital", "--json", names=[(EAST, SOUTH)]).stdout)[
        "list"
    ]
    for kit in kits:
        shutil.copy(year.desk.folder / listed, kit)
        fedbrats(*runbook.inline("fedbrats site . --revoked").split()[1:], cwd=kit)


def _the_server_moves(year, server, folder):
    archive, new = folder / "server-monday.tar", folder / "second" / SERVER
    places = [("/backup/server-monday.tar", archive), (f"/srv/{SERVER}", new)]
    command = runbook.inline("fedbrats backup").replace("/backup/server-monday.tar", str(archive))
    began = time.monotonic()
    fedbrats(*command.split()[1:], cwd=server.parent)
    year.figures["backup"] = round(time.monotonic() - began, 1)
    year.figures["backup, MB"] = round(archive.stat().st_size / 1e6, 1)
    stopped = fedbrats(*runbook.inline("fedbrats stop fl").split()[1:], "--json", cwd=server.parent)
    year.figures["stop of the server"] = round(json.loads(stopped.stdout)["seconds"], 1)
    shutil.rmtree(server)
    shutil.rmtree(year.desk.folder / "storage")

    def restore():
        year.admin("fedbrats restore", "--storage", folder / "second" / "storage", names=places)
        year.start(new)

    year.timed("restore and start, until hospitals are back", restore, lambda: year.connected() == {NORTH, LATE})
    return new


def _clean_up(year, server, folder):
    places = (server, folder / "second" / "storage")
    year.disk("after two jobs", *places)
    fedbrats("clean", server, "--jobs", "1", "--days", "0", "--yes", cwd=folder)
    year.disk("after clean --jobs 1", *places)
    old = json.loads(year.admin("fedbrats provision retire", "--yes", "--json").stdout)
    assert [path.rpartition("/")[2] for path in old["kits"]] == [NORTH]
