"""Keep freed memory in the process: activations of a 3D network are freed and taken again at every step.

glibc hands every block above 32 MiB back to the kernel and asks for it anew, which the kernel fills with zeros page by
page. At 2 mm that is 9,000 page faults and a ninth of the processor time of a training step
(benchmarks/results/allocator.json).
"""

from __future__ import annotations

import ctypes
import sys

# Parameters of mallopt(3) in malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_TOP_PAD_BYTES = 64 * 2**20


def keep_freed_memory() -> bool:
    """Tell glibc to serve large blocks from the heap and never to shrink it; returns whether it could."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl: another allocator, with habits of its own
        return False
    return all(
        mallopt(parameter, value)
        for parameter, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, _TOP_PAD_BYTES))
    )
