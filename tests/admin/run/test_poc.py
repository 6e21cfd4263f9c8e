"""Which processes of a POC are started, and which are ended when that goes wrong."""

import subprocess
import sys
import time

import psutil
import pytest

from fedbrats.admin.run import poc as federation
from fedbrats.admin.run.poc import (
    SERVER,
    STATE_FILE,
    Poc,
    ended,
)
from fedbrats.admin.run.processes import find_processes, stop
from fedbrats.at_work import identify
from fedbrats.atomic import write_json_atomic
from fedbrats.errors import FedbratsError

SLEEP = "import time; time.sleep(60)"


def play(kit, *words):
    """A process whose command line looks like that of a participant, or of a job of its."""
    process = subprocess.Popen([sys.executable, "-c", SLEEP, "nvflare.private", "-m", str(kit), *words])
    return {"pid": process.pid, "started": identify(process.pid)}


@pytest.fixture
def poc(tmp_path, monkeypatch):
    """Five participants; those named site-1 and site-10 have died."""
    poc = Poc(tmp_path, tmp_path / "kits", ("site-1", "site-10", "site-2", "site-3"))
    entries = []
    for name in (SERVER, *poc.sites):
        (poc.kits / name).mkdir(parents=True)
        entries.append({"name": name, **play(poc.kits / name)})
    for entry in entries:
        if entry["name"] in ("site-1", "site-10"):
            psutil.Process(entry["pid"]).kill()
    state = {"kits": str(poc.kits), "sites": list(poc.sites), "processes": entries}
    write_json_atomic(poc.workspace / STATE_FILE, state)
    monkeypatch.setattr("fedbrats.admin.run.poc._start_participant", lambda poc, name: play(poc.kits / name))
    deadline = time.monotonic() + 30
    while sorted(ended(poc)) != ["site-1", "site-10"] and time.monotonic() < deadline:
        time.sleep(0.01)
    yield poc
    stop(poc.workspace)


def fail(error):
    def raises(*_):
        raise error

    return raises


@pytest.mark.parametrize("error", [FedbratsError("site-1 has not connected"), KeyboardInterrupt()])
def test_a_restart_that_fails_ends_what_it_started_and_nothing_else(poc, monkeypatch, error):
    before = find_processes(poc.workspace)
    monkeypatch.setattr("fedbrats.admin.run.poc._wait_until_ready", fail(error))
    with pytest.raises(type(error)):
        federation.restart(poc)
    assert find_processes(poc.workspace) == before
    assert sorted(ended(poc)) == ["site-1", "site-10"]  # so that it can be tried again
    monkeypatch.setattr("fedbrats.admin.run.poc._wait_until_ready", lambda *_: None)
    assert sorted(federation.restart(poc)) == ["site-1", "site-10"]
    assert ended(poc) == []


def test_a_restart_that_fails_at_its_first_participant_forgets_none(poc, monkeypatch):
    before = find_processes(poc.workspace)
    monkeypatch.setattr("fedbrats.admin.run.poc._start_participant", fail(OSError("no bash")))
    with pytest.raises(OSError, match="no bash"):
        federation.restart(poc)
    assert find_processes(poc.workspace) == before
    assert sorted(ended(poc)) == ["site-1", "site-10"]


def test_a_job_that_a_site_has_begun_meanwhile_goes_on(poc, monkeypatch):
    begun = []

    def fails_late(*_):
        begun.append(play(poc.kits / "site-2", "-n", "a-job"))
        raise FedbratsError("site-1 has not connected")

    monkeypatch.setattr("fedbrats.admin.run.poc._wait_until_ready", fails_late)
    with pytest.raises(FedbratsError):
        federation.restart(poc)
    assert begun[0]["pid"] in [process.pid for process in find_processes(poc.workspace)]


def test_a_start_that_fails_leaves_nothing_behind(poc, monkeypatch):
    stop(poc.workspace)
    monkeypatch.setattr("fedbrats.admin.run.poc._wait_until_ready", fail(FedbratsError("the server has ended")))
    with pytest.raises(FedbratsError):
        federation.start(poc)
    assert find_processes(poc.workspace) == []


def test_a_clock_that_is_set_ends_nobody(poc, monkeypatch):
    """The wall clock goes an hour forward: psutil then gives other times of creation."""
    created = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) + 3600)
    assert sorted(ended(poc)) == ["site-1", "site-10"]


def test_a_process_that_got_the_number_of_another_is_another():
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as process:
        first = identify(process.pid)
        assert first
        assert first == identify(process.pid)
        assert first != identify(1)
        process.kill()
        deadline = time.monotonic() + 30
        while identify(process.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert identify(process.pid) is None  # not yet waited for, but dead
    assert identify(process.pid) is None


@pytest.mark.parametrize(("cores", "sites", "threads"), [(4, 2, 2), (5, 2, 2), (2, 5, 1)])
def test_sites_share_the_cores_that_this_process_may_use(tmp_path, monkeypatch, cores, sites, threads):
    """In a container those are fewer than the machine has."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    assert federation.shared_facts(tmp_path, tmp_path, None, sites)["threads"] == threads
