"""Collect what reference cycles keep alive, once a round.

FLARE's messages hold each other in cycles, and Python looks at its old objects only after very many new ones: memory
and threads rise for a hundred rounds before they fall (300 rounds with five sites, FLARE 2.9.0).
"""

from __future__ import annotations

import ctypes
import gc


def set_aside() -> None:
    """Leave out of every later collection what is there now, imported modules above all: that makes one cheap."""
    gc.collect()
    gc.freeze()


def collect() -> None:
    """Let go of what this round left in cycles."""
    gc.collect()


def give_back() -> None:
    """Return freed memory to the system, where glibc is there to be asked.

    A server's messages are freed by threads that live for a minute, and stay behind in pieces in the arenas of those.
    A site keeps what it frees, for the next training step takes it again.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
