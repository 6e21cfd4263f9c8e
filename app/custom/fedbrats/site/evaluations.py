"""How many evaluations of models a site has told of today: who asks often enough learns of single patients."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

BUDGET_FILE = "evaluations.json"
LENGTH = 64  # bytes of the file, blanks at its end
logger = logging.getLogger(__name__)


def count_evaluation(folder: Path, most: int | None) -> bool:
    """Whether one evaluation more may be told today (UTC), which is then counted; all jobs of the site share the count.

    Args:
        folder: where the count is kept, in a file of its own.
        most: evaluations a day; None for any number, of which none is counted.

    A count that cannot be read is used up: remove the file. Raises: OSError.
    """
    if most is None:
        return True
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / BUDGET_FILE
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        before = stream.read()
        today = f"{datetime.now(UTC):%F}"
        try:
            said = json.loads(before or b"{}")
            count = int(said["evaluations"]) if said.get("day") == today else 0
        except (ValueError, KeyError, TypeError, AttributeError):
            logger.warning("no metrics are told, for the count of evaluations cannot be read: file=%s", path)
            return False
        if count >= most:
            return False
        after = json.dumps({"day": today, "evaluations": count + 1}).encode()
        # Over what is there and never shorter: a full disk, or a process that is killed here, must not empty the count.
        os.pwrite(stream.fileno(), after.ljust(max(LENGTH, len(before))), 0)
    return True
