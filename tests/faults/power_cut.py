"""Cut the power between any two file operations of a function, and look at what the disk holds then.

A child process does the work. Every operation on files that Python announces (open for writing, rename, remove, mkdir,
chmod, truncate) and every fsync is counted, and before operation k the child is gone. What had been written but not
brought to the disk by then is cut to half: a kernel may have written any part of it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
_CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.truncate", "os.link", "os.symlink")
DONE, CUT = 0, 42


def cut_power_at(operation: int, work: Callable[[], Any], disk: Path) -> bool:
    """Do the work in a child whose power fails before that operation (from 0 on); True where it had ended by then."""
    child = os.fork()
    if child == 0:
        try:
            _Tracer(operation, disk).watch()
            work()
            os._exit(DONE)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (DONE, CUT), f"the work failed at operation {operation}"
    return code == DONE


class _Tracer:
    """Counts the operations on a disk, knows which files are not safe on it, and ends the process at its turn."""

    def __init__(self, operation: int, disk: Path):
        self._left = operation
        self._disk = f"{disk}{os.sep}"
        self._unsafe: set[str] = set()
        self._cutting = False

    def watch(self) -> None:
        """From now on, in this process for good."""
        fsync = os.fsync

        def traced_fsync(descriptor: Any) -> None:
            number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            self._count()
            fsync(descriptor)
            self._unsafe.discard(os.readlink(f"/proc/self/fd/{number}"))

        os.fsync = traced_fsync
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._cutting or (event != "open" and event not in _CHANGES):
            return
        path = os.path.realpath(os.fsdecode(arguments[0])) if not isinstance(arguments[0], int) else ""
        if not path.startswith(self._disk):
            return
        if event == "open":
            if not (arguments[2] or 0) & _WRITING:
                return
            self._count()
            self._unsafe.add(path)
        else:
            self._count()
            if event == "os.rename":
                moved = os.path.realpath(os.fsdecode(arguments[1]))
                self._unsafe = {moved + each[len(path) :] if each.startswith(path) else each for each in self._unsafe}

    def _count(self) -> None:
        if self._left == 0:
            self._cutting = True
            for path in self._unsafe:
                if os.path.isfile(path):
                    os.truncate(path, os.path.getsize(path) // 2)
            os._exit(CUT)
        self._left -= 1
