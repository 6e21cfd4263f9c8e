"""One job of a consortium, over a person's session: where it stands, what the server logged of it, its end."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fedbrats.admin.run.remote import ENDED, standing_of
from fedbrats.admin.run.runs import ERROR_MARK
from fedbrats.admin.run.sessions import job_status, quiet
from fedbrats.errors import ConfigurationError, FedbratsError
from fedbrats.jobs.resume import JOB_ID
from fedbrats.outside import clean
from fedbrats.run_folder import COMPLETED

MOST_REASONS = 3
ABORTS_S, LOOKS_S = 60.0, 1.0
# As FLARE's entries of a job's meta are called, and as we call them.
FACTS = {
    "name": "name",
    "job_id": "job_id",
    "submitter_name": "submitter",
    "submitter_org": "organisation",
    "submitter_role": "role",
    "submit_time_iso": "submitted",
    "start_time": "started",
    "duration": "duration",
    "status": "status",
}
_BEFORE_MESSAGE = re.compile(r"^\[[^\]]*\]:? ?")


@dataclass(frozen=True)
class JobView:
    """What a server says of one job.

    Attributes:
        facts: name, job_id, submitter, organisation, role, submitted, started, duration, status; null where unknown.
        standing: where a running job stands (fedbrats.standing); none of one that does not run.
        reasons: the last errors that the server logged of a job that ended badly; none for who may not read its log.
    """

    facts: dict[str, Any]
    standing: dict[str, Any] | None
    reasons: list[str]


def check_id(job_id: str) -> str:
    """The id, in small letters. Raises: ConfigurationError for what is no job's id."""
    if not JOB_ID.fullmatch(job_id.lower()):
        raise ConfigurationError(
            f"{job_id!r:.80} is no job id, which looks like 18f294b6-815c-47c5-b35f-0d74ab09547e; "
            f"`fedbrats job list --consortium --kit KIT` shows them"
        )
    return job_id.lower()


def view_job(session: Any, job_id: str) -> JobView:
    """Ask a server about one job. Raises: what FLARE raises for an unknown job."""
    with quiet():
        meta = session.get_job_meta(job_id)
    facts = clean({ours: meta.get(theirs) for theirs, ours in FACTS.items()})
    ended_badly = str(facts["status"]).startswith(ENDED) and facts["status"] != COMPLETED
    reasons = reasons_of(session, job_id) if ended_badly else []
    return JobView(facts, None if is_over(facts["status"]) else standing_of(session, job_id), reasons)


def is_over(status: Any) -> bool:
    """Whether a job of this status runs no more, and will not."""
    return str(status).startswith(ENDED)


def read_log(session: Any, job_id: str) -> list[str]:
    """The lines that the server logged of a job. Raises: FedbratsError where it has no log of it."""
    with quiet():
        said = session.get_job_logs(job_id, target="server")
    logs = said.get("logs") if isinstance(said, dict) else None
    text = logs.get("server") if isinstance(logs, dict) else None
    if not isinstance(text, str):
        raise FedbratsError(f"the server has no log of job {job_id}: it has not begun, or its files were removed")
    return text.splitlines()


def reasons_of(session: Any, job_id: str) -> list[str]:
    """The last errors in the server's log of a job, each once; none where it cannot be read."""
    try:
        return find_errors(read_log(session, job_id))
    except Exception:  # FLARE raises many kinds: no right, no log, no answer; the status is worth more
        return []


def find_errors(lines: Sequence[str]) -> list[str]:
    """The messages of the last lines of level ERROR, each once, oldest first."""
    found = [_BEFORE_MESSAGE.sub("", line.partition(ERROR_MARK)[2]) for line in lines if ERROR_MARK in line]
    return list(clean(list(dict.fromkeys(found[::-1]))[:MOST_REASONS][::-1]))


def abort(session: Any, job_id: str, patience_s: float = ABORTS_S) -> str:
    """Abort a job and wait until it has ended; returns its status, which is another where that takes longer.

    Raises: FedbratsError for a job that has ended already; what FLARE raises where the person has no right to it.
    """
    status = job_status(session, job_id)
    if is_over(status):
        raise FedbratsError(f"job {job_id} has ended already: {status}")
    with quiet():
        session.abort_job(job_id)
    deadline = time.monotonic() + patience_s
    while not is_over(status := job_status(session, job_id)) and time.monotonic() < deadline:
        time.sleep(LOOKS_S)
    return status
