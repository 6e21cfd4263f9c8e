"""How much of a hospital's disk the prepared cases may take: the entries that were used least recently make room.

    CACHE_DIR/KEY/used            touched whenever a job opens the entry
    CACHE_DIR/leases/ID           of a process at work, which holds a lock on it as long as it lives

An entry that was used since the oldest living process began may be mapped by it, and stays.
"""

from __future__ import annotations

import fcntl
import math
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fedbrats.errors import ConfigurationError

USED, LEASES, ENTRY = "used", "leases", "entry.json"
UNFINISHED = ".unfinished-"  # how the names of folders begin that count for nothing
GB = 10**9
_held: list[BinaryIO] = []  # leases of this process, until it ends


@dataclass(frozen=True)
class PreparationLimits:
    """What preparing cases may take of a machine.

    most_voxels: of one prepared case. most_bytes: of the cache folder; None for no limit.
    """

    most_voxels: int | None = None
    most_bytes: float | None = None

    def check_voxels(self, sides: Iterable[int]) -> None:
        """Raise ConfigurationError where a prepared case of these sides is too large: the job asks for too much."""
        shape = tuple(sides)
        if self.most_voxels is not None and math.prod(shape) > self.most_voxels:
            raise ConfigurationError(
                f"the job's spacing_mm or volume_shape makes a case of {' x '.join(map(str, shape))} voxels, and this "
                f"site prepares at most {self.most_voxels} (max_prepared_voxels in its site file)"
            )


NO_LIMITS = PreparationLimits()


class CacheRoom:
    """The room of one cache folder.

    Args:
        cache_dir: the folder.
        limits: of one case, and of all entries together.
    """

    def __init__(self, cache_dir: Path, limits: PreparationLimits) -> None:
        self.limits = limits
        self._cache_dir = cache_dir
        self._most = limits.most_bytes
        self._lock = threading.Lock()
        self._lease = None if self._most is None else _take_lease(cache_dir / LEASES)
        if self._lease:
            _held.append(self._lease)

    def touch(self, folder: Path) -> None:
        """Say that an entry is in use: never before this process began, also where the clock was set back since."""
        if self._lease:
            with suppress(OSError):
                (folder / USED).touch()
                used = max((folder / USED).stat().st_mtime, os.fstat(self._lease.fileno()).st_mtime)
                os.utime(folder / USED, (used, used))

    def make(self, size: int) -> None:
        """Take entries away until `size` bytes more are within the limit.

        Raises: ConfigurationError where even then they are not: what is left belongs to jobs that run.
        """
        if self._most is None:
            return
        with self._lock:
            entries = sorted(_entries(self._cache_dir))
            total = size + sum(each for _, each, _ in entries)
            oldest = _oldest_lease(self._cache_dir / LEASES)
            for used, taken, folder in entries:
                if total <= self._most:
                    return
                if used < oldest:
                    take_away(folder)
                    total -= taken
            if total > self._most:
                raise ConfigurationError(
                    f"the prepared cases of the running jobs take more than {self._most / GB:g} GB, which cache_gb of "
                    f"the site file allows for {self._cache_dir}; nothing more is prepared"
                )


def _entries(cache_dir: Path) -> Iterator[tuple[float, int, Path]]:
    """(when it was last used, its bytes, its folder) of every entry."""
    for folder in cache_dir.iterdir() if cache_dir.is_dir() else ():
        try:
            stored = (folder / ENTRY).stat().st_mtime
            files = [each.stat() for each in os.scandir(folder)]
        except OSError:  # no entry, or one that another process has just taken away
            continue
        used = folder / USED
        with suppress(OSError):
            stored = max(stored, used.stat().st_mtime)
        yield stored, sum(each.st_size for each in files), folder


def take_away(folder: Path) -> None:
    """Take an entry away under another name first: a half-removed one must not be found."""
    grave = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder.parent))
    with suppress(FileNotFoundError):  # another process was quicker
        folder.rename(grave / folder.name)
    shutil.rmtree(grave, ignore_errors=True)


def _take_lease(leases: Path) -> BinaryIO:
    leases.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor, path = tempfile.mkstemp(dir=leases)
        lease = os.fdopen(descriptor, "wb")
        fcntl.flock(lease, fcntl.LOCK_SH)
        if os.path.exists(path):  # else another process took it for a dead one's before it was locked
            return lease
        lease.close()


def _oldest_lease(leases: Path) -> float:
    """When the oldest living process took its lease; leases of the dead are removed."""
    begun = [float("inf")]
    for path in leases.iterdir() if leases.is_dir() else ():
        with suppress(OSError), path.open("rb") as lease:
            try:
                fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                begun.append(os.fstat(lease.fileno()).st_mtime)
            else:
                path.unlink(missing_ok=True)
    return min(begun)
