"""The wall clock jumps: nothing of ours waits for it, and what is measured stays what it was."""

from __future__ import annotations

import ast
import fcntl
import time
from pathlib import Path

import numpy as np
import pytest
from nvflare.apis.dxo import from_shareable

import fedbrats
from fedbrats.data.cases.datalist import read_datalist
from fedbrats.data.prepare.cache import CacheSettings, prepare_cases
from fedbrats.flare.server.recorder import Recorder
from fedbrats.methods.fedavg import WeightedFedAvg
from tests.faults.catalogue import SURVIVED, fault
from tests.faults.site import Site
from tests.flare.conftest import Federation, gated

PACKAGE = Path(fedbrats.__file__).parent
# Where the wall clock is read, and that it is no deadline there.
STAMPS = {
    "data/prepare/cache.py": "the age of what killed processes left; a lock protects the living",
    "flare/audit_trail.py": "when something was done, and the name of a file that was put aside",
    "flare/process/heartbeats.py": "when a site was last heard, for people and metrics",
    "flare/process/start.py": "when a line was said, for people",
    "flare/process/who_is_there.py": "the age of what a process keeps writing, for people; nothing waits for it",
    "flare/server/recorder.py": "when a job began and a round ended, for people",
    "flare/server/tracking.py": "when a point of a curve was made, for MLflow",
}
TEN_YEARS_S = 10 * 365 * 86400.0


def reads_of_the_wall_clock(path: Path) -> int:
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return sum(
        isinstance(call, ast.Attribute) and ast.unparse(call) in ("time.time", "datetime.now", "datetime.utcnow")
        for call in calls
    )


def test_only_stamps_read_the_wall_clock():
    read = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if reads_of_the_wall_clock(path)}
    running = {name for name in read if name.split("/")[0] in ("data", "model", "federation", "flare")}
    assert {name for name in running if not name.startswith("flare/doctor/")} == set(STAMPS)


@pytest.fixture
def clock(monkeypatch):
    """`clock[0]` is by how much the wall clock of this process is wrong."""
    wrong, real = [0.0], time.time
    monkeypatch.setattr(time, "time", lambda: real() + wrong[0])
    return wrong


@pytest.mark.parametrize("jump_s", [TEN_YEARS_S, -TEN_YEARS_S])
@fault(
    "clock jump at a site",
    injected="the wall clock goes ten years forward, or back, between two rounds",
    detected="not needed: nothing of ours waits for the wall clock",
    outcome=f"{SURVIVED}: the same update bit for bit, durations stay durations",
)
def test_a_jump_changes_nothing_at_a_site(tmp_path, phantom_sites, clock, jump_s):
    steady = Site(tmp_path / "steady", phantom_sites)
    expected = [from_shareable(steady.answer(number)).data for number in (0, 1)]
    site = Site(tmp_path / "jumping", phantom_sites)
    found = [from_shareable(site.answer(0)).data]
    clock[0] = jump_s
    reply = from_shareable(site.answer(1))
    found.append(reply.data)
    for mine, theirs in zip(found, expected, strict=True):
        assert all(np.array_equal(mine[name], theirs[name]) for name in theirs)
    assert all(0 <= value < 60 for value in reply.get_meta_prop("fedbrats")["seconds"].values())


@pytest.mark.parametrize("jump_s", [TEN_YEARS_S, -TEN_YEARS_S])
@fault(
    "clock jump at the server",
    injected="the wall clock goes ten years forward, or back, in the middle of a round",
    detected="not needed",
    outcome=f"{SURVIVED}: the round is counted, and the row says how long it really took",
)
def test_a_jump_changes_no_duration_at_the_server(tmp_path, clock, jump_s):
    federation = Federation(tmp_path / "server", gated(WeightedFedAvg), Recorder())
    with federation.room.new_context() as fl_ctx:
        federation.room.fire_event("_round_started", fl_ctx)
        clock[0] = jump_s
        federation.room.fire_event("_round_done", fl_ctx)
    [row] = federation.rows("round")
    assert 0 <= row["seconds"] < 60


@fault(
    "clock jump while a case is prepared",
    injected="another process prepares a case, and the clock goes ten years forward",
    detected="its lock says that it is at work",
    outcome=f"{SURVIVED}: what it has written so far is not taken for abandoned",
)
def test_a_jump_does_not_take_a_living_process_for_a_dead_one(tmp_path, phantom_sites, clock):
    living, dead = tmp_path / ".unfinished-living", tmp_path / ".unfinished-dead"
    for folder in (living, dead):
        folder.mkdir()
        (folder / "lock").touch()
    clock[0] = TEN_YEARS_S
    datalist = read_datalist(phantom_sites / "site-1")
    with (living / "lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        prepare_cases(datalist.training[:1], datalist.convention, tmp_path, CacheSettings())
    assert living.exists()
    assert not dead.exists()
