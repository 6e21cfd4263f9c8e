"""What a container may use of its machine: limits of cgroups, which a count of cores or of memory does not show."""

from __future__ import annotations

import math
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")  # a container's own, as it sees it
NO_LIMIT = 2**60  # version 1 writes a number near 2^63 where there is none

# version 2 keeps one folder, version 1 one for each kind of limit
_QUOTA, _PERIOD = "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"
_MEMORY = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))


def core_limit(cgroup: Path = CGROUP) -> int | None:
    """How many cores the quota of this container is worth, rounded up; None without a quota."""
    for words in (_words(cgroup / "cpu.max"), _words(cgroup / _QUOTA) + _words(cgroup / _PERIOD)):
        if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]):  # no quota: `max`, or -1
            return max(1, math.ceil(int(words[0]) / int(words[1])))
    return None


def memory_left(cgroup: Path = CGROUP) -> int | None:
    """Bytes that this container may still take; None without a limit."""
    for limit_file, used_file in _MEMORY:
        words = _words(cgroup / limit_file) + _words(cgroup / used_file)
        if len(words) == 2 and all(word.isdigit() for word in words) and int(words[0]) < NO_LIMIT:
            return max(0, int(words[0]) - int(words[1]))
    return None


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []
