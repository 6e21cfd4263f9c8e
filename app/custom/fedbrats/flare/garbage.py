"""Collect what reference cycles keep alive, about once a round.

FLARE's messages hold each other in cycles, and Python looks at its old objects only after very many new ones: memory
and threads rise for a hundred rounds before they fall (300 rounds with five sites, FLARE 2.9.0).
"""

from __future__ import annotations

import ctypes
import gc
import time

SECONDS_BETWEEN = 1.0  # two collections of a process: a simulation has a hundred sites in one

_last = 0.0


def freeze() -> None:
    """Leave out of every later collection what is there now, above all imported modules, so that one is cheap."""
    gc.collect()
    gc.freeze()


def collect() -> None:
    """Free what this round left in reference cycles, unless that was done within the last second."""
    global _last
    if time.monotonic() - _last >= SECONDS_BETWEEN:
        gc.collect()
        _last = time.monotonic()


def return_to_system() -> None:
    """Return freed memory to the system, where glibc is there to be asked.

    A server's messages are freed by threads that live for a minute; what they freed stays in the arenas of these
    threads, in pieces. A site does not call this, because the next training step takes the same memory again.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
