"""Collect what reference cycles keep alive, once a round.

FLARE's messages hold each other in cycles, and Python looks at its old objects only after very many new ones: memory
and threads rise for a hundred rounds before they fall (300 rounds with five sites, FLARE 2.9.0).
"""

from __future__ import annotations

import ctypes
import gc


def freeze() -> None:
    """Leave out of every later collection what is there now, above all imported modules, so that one is cheap."""
    gc.collect()
    gc.freeze()


def collect() -> None:
    """Free what this round left in reference cycles."""
    gc.collect()


def return_to_system() -> None:
    """Return freed memory to the system, where glibc is there to be asked.

    A server's messages are freed by threads that live for a minute; what they freed stays in the arenas of these
    threads, in pieces. A site does not call this, because the next training step takes the same memory again.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
