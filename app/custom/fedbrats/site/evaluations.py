"""How many evaluations of models a site has told of today: who asks often enough learns of single patients."""

from __future__ import annotations

import fcntl
import json
import logging
from datetime import UTC, datetime
from pathlib import Path

BUDGET_FILE = "evaluations.json"
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
    with (folder / BUDGET_FILE).open("a+", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.seek(0)
        today = f"{datetime.now(UTC):%F}"
        try:
            said = json.loads(stream.read() or "{}")
            count = int(said["evaluations"]) if said.get("day") == today else 0
        except (ValueError, KeyError, TypeError, AttributeError):
            logger.warning("no metrics are told, for the count of evaluations cannot be read: file=%s", stream.name)
            return False
        if count >= most:
            return False
        stream.truncate(0)
        stream.write(json.dumps({"day": today, "evaluations": count + 1}))
    return True
