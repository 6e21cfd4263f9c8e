"""`audit.log` of a participant: who did what and when, one JSON object a line.

FLARE 2.9.0 writes rows of brackets in local time, one file that grows for ever, and in it every poll of its own: 114 of
140 lines were `check_status` without a user. Here the polls go to the debug log, a full file is put aside under the
time at which it was full, and each line also goes to the logger `fedbrats.audit`, to which a kit's `log_config.json`
may attach a handler for syslog (docs/reference/operations.md). Nothing is removed.

Entries of a line: at (UTC), event (its id), who, action, job, scope, task, ref (the event that it answers), message;
those that are not known are left out.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nvflare.fuel.sec.audit import EXCLUDED_ACTIONS, Auditor

from fedbrats.outside import show

LONGEST_ENTRY = 500
MOST_BYTES = 16 * 2**20  # of audit.log; then another begins
# What FLARE asks again and again, by itself or for a console that waits: nobody did anything.
NOISE = frozenset(
    {*EXCLUDED_ACTIONS, "check_status", "admin_check_status", "train.check_status", "train.get_scopes"}
    | {"scheduler.cancel_resource", "show_stats", "info.show_stats"}
)
AUDIT_LOGGER = "fedbrats.audit"
_log = logging.getLogger(__name__)


def write_json_lines() -> None:
    """Have the auditor of this process write so."""
    logging.getLogger(AUDIT_LOGGER).propagate = False  # the participant's log is not the place
    Auditor.add_event = _add_event
    Auditor.add_job_event = _add_job_event


def _add_event(auditor: Auditor, user: str, action: str, ref: str = "", msg: str = "") -> str:
    return _add(auditor, who=user, action=action, ref=ref, message=msg)


def _add_job_event(
    auditor: Auditor,
    job_id: str,
    scope_name: str = "",
    task_name: str = "",
    task_id: str = "",
    ref: str = "",
    msg: str = "",
) -> str:
    task = f"{task_name}#{task_id}" if task_name else ""
    return _add(auditor, job=job_id, scope=scope_name, task=task, ref=ref, message=msg)


def _add(auditor: Auditor, **said: Any) -> str:
    """Write a line; returns the event's id, empty where nothing is written."""
    entries = {name: show(value, LONGEST_ENTRY) for name, value in said.items() if value}
    if str(said.get("action", "")).partition(" ")[0] in NOISE:
        _log.debug(f"asked: {entries.get('action')}; who={entries.get('who', '-')}")
        return ""
    with auditor._lock:
        if auditor.audit_file is None:  # FLARE's own case: a late call of a process that ends
            return ""
        event = str(uuid.uuid4())
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"at": at, "event": event, **entries})
        _make_room(auditor)
        auditor.audit_file.write(line + "\n")
        auditor.audit_file.flush()
    logging.getLogger(AUDIT_LOGGER).info(line)
    return event


def _make_room(auditor: Auditor) -> None:
    """Put a full file aside under the time; where that cannot be, it goes on growing, for nothing may be lost."""
    if auditor.audit_file.tell() < MOST_BYTES:
        return
    path = Path(auditor.audit_file.name)
    aside = _free_name(path, lambda: datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ"))
    try:
        path.rename(aside)
        full, auditor.audit_file = auditor.audit_file, path.open("a", encoding="utf-8")
        full.close()
    except OSError as error:
        _log.warning(f"the audit trail is full and cannot be put aside: {error.strerror}; file={path.name}")


def _free_name(path: Path, stamp: Callable[[], str]) -> Path:
    while (aside := path.with_name(f"{path.stem}-{stamp()}{path.suffix}")).exists():
        pass
    return aside
