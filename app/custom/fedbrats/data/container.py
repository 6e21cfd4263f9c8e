"""What a container may use of its machine: limits of cgroup v2, which a count of cores or of memory does not show."""

from __future__ import annotations

import math
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")  # a container's own, as it sees it


def core_limit(cgroup: Path = CGROUP) -> int | None:
    """How many cores the quota of this container is worth, rounded up; None without a quota."""
    try:
        quota, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
        return max(1, math.ceil(int(quota) / int(period)))  # `max 100000` is no quota
    except (OSError, ValueError, ZeroDivisionError):
        return None


def memory_left(cgroup: Path = CGROUP) -> int | None:
    """Bytes that this container may still take; None without a limit."""
    try:
        limit, used = (int((cgroup / f"memory.{name}").read_text(encoding="ascii")) for name in ("max", "current"))
    except (OSError, ValueError):
        return None
    return max(0, limit - used)
