"""What ended jobs have left on a disk, and which of it may go."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedbrats.admin.kits import Kit
from fedbrats.admin.operate.places import FINISHED, status_of
from fedbrats.admin.run.processes import find_processes
from fedbrats.flare.process.storage import storage_of
from fedbrats.jobs.resume import JOB_ID
from fedbrats.site.site_file import Retention, read_server_facts, read_site_facts

DAY_S = 86400.0


@dataclass(frozen=True)
class Leftover:
    """What one ended job has left: the paths that may go, their bytes, and when the last of them was written."""

    job: str
    paths: tuple[Path, ...]
    size: int
    written: float


def retention_of(kit: Kit) -> Retention | None:
    """What a kit's own settings let stay; None where they say nothing. Raises: ConfigurationError."""
    if kit.kind == "server":
        return read_server_facts(kit.local_dir).keep
    return read_site_facts(kit.local_dir, kit.name).keep


def find_removable(kit: Kit, keep: Retention, now: float | None = None) -> list[Leftover]:
    """What may be removed, oldest first; removes nothing. Raises: ConfigurationError for a kit that cannot be read."""
    now = time.time() if now is None else now
    found = sorted(_leftovers(kit), key=lambda each: each.written, reverse=True)
    stay = [number < keep.jobs or now - each.written < keep.days * DAY_S for number, each in enumerate(found)]
    if keep.most_bytes is not None:
        total = 0
        for number, each in enumerate(found):
            total += each.size
            stay[number] = stay[number] and total <= keep.most_bytes
    return [each for each, stays in zip(found, stay, strict=True) if not stays][::-1]


def remove(leftover: Leftover) -> None:
    """Remove what a job has left. Raises: OSError."""
    for path in leftover.paths:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def _leftovers(kit: Kit) -> Iterator[Leftover]:
    for job, paths in sorted((_of_server(kit) if kit.kind == "server" else _of_site(kit)).items()):
        files = [file for path in paths for file in _files_below(path)]
        if paths:
            written = max((file.stat().st_mtime for file in files), default=paths[0].stat().st_mtime)
            yield Leftover(job, tuple(paths), sum(file.stat().st_size for file in files), written)


def _of_server(kit: Kit) -> dict[str, list[Path]]:
    """Of every ended job: what was submitted and came of it, the state to resume it from, its run folder.

    A job whose status cannot be read, or is of no known kind, may be at work: nothing of it goes.
    """
    jobs, _ = storage_of(kit.local_dir)
    folders = (jobs, read_server_facts(kit.local_dir).state_dir, kit.folder)
    busy = {job.name for job in _jobs_in(jobs) if not status_of(job).startswith(FINISHED)}
    return _by_job([path for folder in folders for path in _jobs_in(folder)], busy)


def _of_site(kit: Kit) -> dict[str, list[Path]]:
    """Of every job that has no process here: its run folder and optimisers; personal weights stay, as they are used."""
    personal = read_site_facts(kit.local_dir, kit.name).personal_dir
    running = " ".join(word for process in find_processes(kit.folder) for word in process.cmdline())
    busy = {found[0] for found in JOB_ID.finditer(running)}
    states = [path for job in _jobs_in(personal) for path in sorted(job.rglob("round-*"))]
    return _by_job([*_jobs_in(kit.folder), *states], busy)


def _by_job(paths: list[Path], busy: set[str]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in paths:
        job = [part for part in path.parts if JOB_ID.fullmatch(part)][-1]
        if job not in busy:
            found.setdefault(job, []).append(path)
    return found


def _jobs_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir() and JOB_ID.fullmatch(path.name))


def _files_below(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for parent, _, names in os.walk(path):
        yield from (file for name in names if (file := Path(parent, name)).is_file() and not file.is_symlink())
