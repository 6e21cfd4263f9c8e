"""Stop a server or a site for maintenance: in seconds, nothing is lost, and the others go on or wait."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from fedbrats.admin.kits import Kit
from fedbrats.admin.operate.places import status_of
from fedbrats.admin.run.processes import DAEMON, PROCESS_FILES, find_processes, stop
from fedbrats.errors import ConfigurationError, FedbratsError
from fedbrats.flare.process.storage import storage_of

LEAVE_S = 8.0  # a site tells the server that it leaves (fedbrats.flare.process.start)
OWN_PROCESS = ("server_train", "client_train")


@dataclass(frozen=True)
class Stopped:
    """What was stopped.

    jobs: of a server, the ids of those that ran and have to be resumed. left: notes of the kit's loop that could not be
    removed, as the kit cannot be written to; they keep nothing from starting.
    """

    processes: int
    jobs: tuple[str, ...]
    seconds: float
    left: tuple[str, ...] = ()


def stop_kit(kit: Kit) -> Stopped:
    """End every process of a kit on this machine: its loop, itself, and those of its jobs.

    Raises: FedbratsError where a process is of another user, or does not end.
    """
    began = time.monotonic()
    jobs = running_jobs(kit) if kit.kind == "server" else ()
    found = find_processes(kit.folder)
    try:
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                if any(word.endswith(DAEMON) for word in process.cmdline()):
                    process.terminate()  # first, for it would start its participant again
        own = [process for process in found if _is_own(process)]
        for process in own:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGINT)
        psutil.wait_procs(own, timeout=LEAVE_S)
        stop(kit.folder)
    except psutil.AccessDenied as error:
        raise FedbratsError(
            f"process {error.pid} of {kit.name} belongs to another user: stop it as that user"
        ) from None
    if left := find_processes(kit.folder):
        raise FedbratsError(f"{len(left)} processes of {kit.name} do not end, {left[0].pid} first")
    kept = tuple(name for name in PROCESS_FILES if not _remove(kit.folder / name))
    return Stopped(len(found), jobs, time.monotonic() - began, kept)


def running_jobs(kit: Kit) -> tuple[str, ...]:
    """The ids of the jobs that run at a server, by what it keeps of them; empty where nothing can be read."""
    try:
        jobs, _ = storage_of(kit.local_dir)
    except ConfigurationError:  # a kit with a broken file can be stopped too
        return ()
    return tuple(sorted(job.name for job in jobs.glob("*") if status_of(job) == "RUNNING"))


def _remove(path: Path) -> bool:
    """Remove a file; whether it is gone."""
    try:
        path.unlink(missing_ok=True)
    except OSError:  # of a read-only file system
        return False
    return True


def _is_own(process: psutil.Process) -> bool:
    """Whether a process is the participant's own, and not its loop or a job's."""
    try:
        words = process.cmdline()
    except psutil.NoSuchProcess:
        return False
    return process.pid != os.getpid() and any(word.endswith(OWN_PROCESS) for word in words)
