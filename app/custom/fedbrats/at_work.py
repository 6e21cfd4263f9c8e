"""Whether the program that writes a results folder still lives. It says so in a note there, which it renews.

A program that is killed (SIGKILL, power) writes no summary; without the note its run would look as if it still ran. On
the same machine the note names the process. Elsewhere, as on a shared disk, or after a reboot, the note's age tells.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fedbrats.atomic import write_json_atomic

NOTE = "at_work.json"
BEAT_S = 15.0  # between two renewals
SILENT_S = 120.0  # age of a note of another machine whose program is taken for dead


def identify(pid: int) -> str | None:
    """What tells a process from every other one that had or will have its number; None where no such process lives.

    On Linux that is when it started, in clock ticks since boot: psutil's `create_time()` is a time of the wall clock,
    which a clock that is set moves. A process that has ended and that nobody has waited for does not live.
    """
    import psutil

    try:
        if sys.platform != "linux":
            process = psutil.Process(pid)
            return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
        # proc(5): `pid (name) state ...`; the name may hold spaces and brackets, so fields count from its end.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return None
    state, start_tick = fields[0], fields[19]
    return None if state in (b"Z", b"X") else start_tick.decode()


@contextmanager
def at_work(folder: Path, job: str) -> Iterator[None]:
    """While a block writes results into a folder, keep a note there that it does; it goes when the block ends.

    job: the name of the run.
    """
    pid, is_new = os.getpid(), not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    note, ended = folder / NOTE, threading.Event()
    write_json_atomic(note, {"job": job, "pid": pid, "started": identify(pid), "machine": _machine()})

    def beat() -> None:
        while not ended.wait(BEAT_S):
            with suppress(OSError):  # the folder may be gone, or its disk away for a while
                os.utime(note)

    renewer = threading.Thread(target=beat, daemon=True)
    renewer.start()
    try:
        yield
    finally:
        ended.set()
        renewer.join()
        note.unlink(missing_ok=True)
        if is_new:
            with suppress(OSError):  # where results are in it
                folder.rmdir()


def killed_job(folder: Path) -> str | None:
    """The name of the run whose program was killed while it wrote this folder; None where none was, or it lives."""
    try:
        found = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        age_s = time.time() - (folder / NOTE).stat().st_mtime
        job, pid, started, machine = str(found["job"]), int(found["pid"]), found["started"], found["machine"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    lives = identify(pid) == started if machine == _machine() else age_s < SILENT_S
    return None if lives else job


def _machine() -> str:
    """This machine since it was started, as its processes see it: a number of a process means nothing elsewhere."""
    with suppress(OSError):
        return f"{socket.gethostname()} {Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"
    return socket.gethostname()
