"""The jobs that a job goes on from, as `fedbrats submit --resume` writes them into its variable `resume`."""

from __future__ import annotations

import re
from typing import Any

from fedbrats.errors import ConfigurationError

JOB_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def check_job_ids(ids: Any) -> tuple[str, ...]:
    """The jobs that a job goes on from, newest first. Raises: ConfigurationError for anything but FLARE's job ids."""
    ids = ids or []
    if not isinstance(ids, list) or not all(isinstance(each, str) and JOB_ID.fullmatch(each) for each in ids):
        raise ConfigurationError(f"resume must be a list of job ids, as `fedbrats submit --resume` writes, not {ids!r}")
    return tuple(ids)
