"""A small disk of its own, which can be filled, emptied and made larger: a tmpfs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    """A mounted tmpfs."""

    def __init__(self, path: Path):
        self.path = path

    def resize(self, size: str) -> None:
        """Somebody frees space, as with `64m`."""
        subprocess.run(["mount", "-o", f"remount,size={size}", str(self.path)], check=True)

    def fill(self) -> None:
        """Nothing more goes onto it, until `free`."""
        with (self.path / "filler").open("wb", buffering=0) as stream:
            try:
                while stream.write(bytes(4096)) == 4096:
                    pass
            except OSError:
                pass

    def free(self) -> None:
        """Take away what filled it."""
        (self.path / "filler").unlink()


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[SmallDisk]:
    """Mount a tmpfs of this size at `path`; skips the test where this user or system cannot mount."""
    path.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True, text=True
        )
    except FileNotFoundError:
        pytest.skip("there is no mount command here, so no small disk can be had")
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()} (needs root)")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=False)
