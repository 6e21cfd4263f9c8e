"""What ended jobs leave is listed before it is removed, and a disk does not grow with the number of jobs."""

import json
import os
import threading
import time
import uuid

import pytest
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.workspace import Workspace

from fedbrats.admin.kits import open_kit
from fedbrats.admin.operate.retention import DAY_S, find_removable, remove, retention_of
from fedbrats.cli.main import main
from fedbrats.errors import ConfigurationError
from fedbrats.flare.process.housekeeping import Housekeeping
from fedbrats.site.site_file import Retention

NOW = 2_000_000_000.0


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def leave(number, age_days, *paths):
    """A job that has left files of 1000 bytes."""
    job = str(uuid.UUID(int=number))
    for path, content in paths:
        path = path(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (NOW - age_days * DAY_S,) * 2)
    return job


def keeping(jobs=20, days=90.0, gb=None):
    """Also what the settings refuse: nothing at all."""
    return Retention.model_construct(jobs=jobs, days=days, gb=gb)


def job_of_server(kit, number, age_days=0.0, status="FINISHED:COMPLETED"):
    storage = kit.parent / "storage"
    return leave(
        number,
        age_days,
        (lambda job: storage / "jobs" / job / "meta", json.dumps({"status": status}).encode()),
        (lambda job: storage / "jobs" / job / "workspace", bytes(1000)),
        (lambda job: storage / "state" / job / "round-3.npz", bytes(1000)),
    )


def job_of_site(kit, number, age_days=0.0):
    personal = kit.parent / "personal"
    return leave(
        number,
        age_days,
        (lambda job: kit / job / "log.txt", bytes(1000)),
        (lambda job: personal / job / "hospital-north" / "round-7" / "optimiser.npz", bytes(1000)),
        (lambda job: personal / job / "hospital-north" / "personal.npz", bytes(10)),
    )


@pytest.mark.parametrize(("fixture", "make"), [("server_kit", job_of_server), ("site_kit", job_of_site)])
def test_fifty_jobs_take_no_more_than_those_that_are_kept(request, fixture, make):
    kit = request.getfixturevalue(fixture)
    sizes = []
    for number in range(50):
        make(kit, number, age_days=50 - number)
        for leftover in find_removable(open_kit(kit), Retention(jobs=5, days=5), NOW):
            remove(leftover)
        sizes.append(size_of(kit.parent) - 10 * (number + 1) * (fixture == "site_kit"))  # personal weights stay
    assert sizes[-1] == sizes[10]
    assert max(sizes[10:]) <= sizes[10] + 10


def test_what_is_young_or_new_or_at_work_stays(server_kit):
    old = [job_of_server(server_kit, number, age_days=100 + number) for number in range(4)]
    working = job_of_server(server_kit, 9, age_days=300, status="RUNNING")
    unclear = [job_of_server(server_kit, number, age_days=300) for number in (10, 11, 12)]
    metas = [server_kit.parent / "storage" / "jobs" / job / "meta" for job in unclear]
    metas[0].write_text("{")
    metas[1].write_text('{"status": "PAUSED"}')
    metas[2].unlink()

    def gone(**keep):
        return [each.job for each in find_removable(open_kit(server_kit), keeping(**keep), NOW)]

    assert gone(jobs=0, days=90) == old[::-1], "the oldest first"
    assert gone(jobs=2, days=90) == [old[3], old[2]]
    assert gone(jobs=0, days=102) == [old[3], old[2]]
    assert gone(jobs=4, days=1000) == []
    assert gone(jobs=4, days=1000, gb=5000 / 1e9) == [old[3], old[2]]
    assert working not in gone(jobs=0, days=0)
    assert not set(unclear) & set(gone(jobs=0, days=0))


def test_a_hospital_keeps_its_personal_weights(site_kit):
    job = job_of_site(site_kit, 1, age_days=400)
    (leftover,) = find_removable(open_kit(site_kit), keeping(jobs=0, days=1), NOW)
    remove(leftover)
    assert not (site_kit / job).exists()
    folder = site_kit.parent / "personal" / job / "hospital-north"
    assert [path.name for path in folder.iterdir()] == ["personal.npz"]


def test_nothing_goes_without_yes(server_kit, capsys):
    job = job_of_server(server_kit, 1, age_days=10_000)
    folder = server_kit.parent / "storage" / "jobs" / job
    words = ["clean", str(server_kit), "--jobs", "0", "--days", "1"]
    assert main(words) == 0
    assert "may go; --yes removes it" in capsys.readouterr().out
    assert folder.exists()
    assert main([*words, "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["jobs"] == [job]
    assert not folder.exists()
    assert (server_kit / "startup").is_dir()


def keep_in(kit, **retention):
    path = kit / "local" / "fedbrats.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "retention": retention}))


def end_of_a_job(kit, name):
    """What FLARE tells the components of a participant's own process; returns when what that begins is over."""
    context = FLContext()
    context.set_prop(FLContextKey.WORKSPACE_OBJECT, Workspace(str(kit)), private=True)
    context.set_prop(ReservedKey.IDENTITY_NAME, name, private=True)
    before = set(threading.enumerate())
    Housekeeping().handle_event(EventType.JOB_COMPLETED, context)
    for thread in set(threading.enumerate()) - before:
        thread.join()


@pytest.mark.parametrize(("fixture", "make"), [("server_kit", job_of_server), ("site_kit", job_of_site)])
def test_the_end_of_a_job_cleans_where_the_settings_say_so(request, fixture, make):
    kit = request.getfixturevalue(fixture)
    name = open_kit(kit).name
    for number in range(4):
        make(kit, number, age_days=1000 + number + NOW / DAY_S - time.time() / DAY_S)
    before = size_of(kit.parent)
    end_of_a_job(kit, name)
    assert size_of(kit.parent) == before, "without retention nothing goes by itself"
    keep_in(kit, jobs=1, days=1)
    end_of_a_job(kit, name)
    assert find_removable(open_kit(kit), Retention(jobs=1, days=1)) == []
    assert size_of(kit.parent) < before - 3000 if fixture == "server_kit" else before - 2000


@pytest.mark.parametrize("fixture", ["server_kit", "site_kit"])
def test_a_retention_that_cannot_be_removes_nothing(request, fixture):
    kit = request.getfixturevalue(fixture)
    keep_in(kit, jobs=0)
    with pytest.raises(ConfigurationError, match="jobs"):
        retention_of(open_kit(kit))
    Housekeeping().clean(kit, open_kit(kit).name)


def test_clean_keeps_what_the_settings_say_and_an_argument_goes_before(server_kit, capsys):
    for number in range(4):
        job_of_server(server_kit, number, age_days=5000)
    keep_in(server_kit, jobs=3, days=1)

    def listed(*words):
        assert main(["clean", str(server_kit), *words, "--json"]) == 0
        return len(json.loads(capsys.readouterr().out)["jobs"])

    assert (listed(), listed("--jobs", "1"), listed("--jobs", "20")) == (1, 3, 0)
