"""Where the updates of a round wait to be combined: in memory, and beyond a limit on the disk."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from fedbrats.federation.updates import Update

_ALIGNMENT = 64


class Spool:
    """Keeps updates; those that do not fit into `memory_bytes` become read-only arrays mapped from the disk.

    Their files have no names: they vanish with the last reader, also when the process is killed.
    """

    def __init__(self, folder: Path, memory_bytes: int):
        self._folder = folder
        self._memory_bytes = memory_bytes
        self._held = 0

    def keep(self, update: Update) -> dict[str, np.ndarray]:
        """The same arrays, wherever they lie. Raises: OSError where the disk does not take them."""
        size = sum(array.nbytes for array in update.values())
        if size == 0 or self._held + size <= self._memory_bytes:
            self._held += size
            return dict(update)
        return _write(update, self._folder)

    def clear(self) -> None:
        """Begin a new round."""
        self._held = 0


def _write(update: Update, folder: Path) -> dict[str, np.ndarray]:
    offsets: dict[str, int] = {}
    with tempfile.TemporaryFile(dir=folder) as stream:
        for name, array in update.items():
            stream.write(bytes(-stream.tell() % _ALIGNMENT))
            offsets[name] = stream.tell()
            stream.write(np.ascontiguousarray(array).data)
        stream.flush()
        mapped = np.memmap(stream, dtype=np.uint8, mode="r")
    return {
        name: mapped[offsets[name] : offsets[name] + array.nbytes].view(array.dtype).reshape(array.shape)
        for name, array in update.items()
    }
