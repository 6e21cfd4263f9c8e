"""What prepared cases may take of a site's disk, and which of them make room."""

import fcntl
import os
import shutil

import pytest

from fedbrats.data.cases.datalist import read_datalist
from fedbrats.data.prepare import room as module
from fedbrats.data.prepare.cache import CacheSettings, prepare_cases
from fedbrats.data.prepare.room import LEASES, USED, CacheRoom, PreparationLimits
from fedbrats.errors import ConfigurationError


@pytest.fixture
def prepare(phantom_sites, tmp_path, monkeypatch):
    """Prepare the first cases of a site at some spacing, as a process of its own would; returns its entries."""
    monkeypatch.setattr(module, "_held", [])
    datalist = read_datalist(phantom_sites / "site-1")

    def prepare(cases=1, spacing_mm=8.0, **limits):
        prepared, rejected = prepare_cases(
            datalist.cases[:cases],
            datalist.convention,
            tmp_path / "cache",
            CacheSettings(spacing_mm=spacing_mm),
            limits=PreparationLimits(**limits),
        )
        assert not rejected
        return [case.files[0][0].parent for case in prepared]

    prepare.cache = tmp_path / "cache"
    return prepare


def end_all(prepare):
    """The processes that prepared end, and time passes."""
    while module._held:
        module._held.pop().close()
    for path in prepare.cache.rglob("*"):
        if path.name in (USED, module.ENTRY):
            os.utime(path, (1, 1))


def bytes_of(folder):
    return sum(path.stat().st_size for path in folder.iterdir())


def test_a_case_that_is_too_large_stops_the_job_before_it_is_made(prepare):
    for settings in ({"spacing_mm": 0.5}, {"spacing_mm": 8.0}):
        with pytest.raises(ConfigurationError, match="voxels, and this site prepares at most 500"):
            prepare(most_voxels=500, **settings)
    assert not [path for path in prepare.cache.iterdir() if (path / module.ENTRY).exists()]


def test_what_was_used_least_recently_makes_room(prepare):
    (first,) = prepare(spacing_mm=8.0, most_bytes=1e9)
    (second,) = prepare(spacing_mm=7.0, most_bytes=1e9)
    end_all(prepare)
    assert prepare(spacing_mm=8.0, most_bytes=1e9) == [first]  # used again, by a process that ends
    module._held.pop().close()
    (third,) = prepare(spacing_mm=6.0)
    size = bytes_of(third)
    shutil.rmtree(third)
    prepare(spacing_mm=6.0, most_bytes=bytes_of(first) + size)
    assert not second.exists()
    assert first.exists()


def test_what_a_living_process_uses_stays(prepare):
    (used,) = prepare(spacing_mm=8.0, most_bytes=1e9)
    with pytest.raises(ConfigurationError, match=r"take more than .* GB, which cache_gb of the site file allows"):
        prepare(spacing_mm=7.0, most_bytes=bytes_of(used) + 10)
    assert used.exists()


def test_what_a_living_process_uses_stays_when_the_clock_is_set_back(prepare):
    (used,) = prepare()
    room = CacheRoom(prepare.cache, PreparationLimits(most_bytes=bytes_of(used)))
    (lease,) = (prepare.cache / LEASES).iterdir()
    ahead = used.stat().st_mtime + 3600
    os.utime(lease, (ahead, ahead))  # as if the clock had gone ahead when the process began, and were right since
    room.touch(used)
    with pytest.raises(ConfigurationError, match="cache_gb of the site file allows"):
        room.make(1)
    assert used.exists()


def test_the_leases_of_the_dead_go(prepare):
    prepare(most_bytes=1e9)
    end_all(prepare)
    prepare(most_bytes=1e9, spacing_mm=7.0)
    (lease,) = (prepare.cache / LEASES).iterdir()
    with lease.open("rb") as mine, pytest.raises(OSError, match="unavailable"):
        fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_without_a_limit_nothing_is_written_but_the_entries(prepare):
    prepare()
    assert not (prepare.cache / LEASES).exists()
