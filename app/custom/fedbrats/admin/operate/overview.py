"""What an operator wants to know of a federation, by the server's word over a person's session."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fedbrats.admin.run.remote import standing_of
from fedbrats.admin.run.sessions import quiet
from fedbrats.flare.process.version_report import PACKAGE, SERVER
from fedbrats.jobs.version_rule import read_version, why_apart
from fedbrats.outside import clean, show

SILENT_S = 40.0  # a site's heartbeat comes every ten seconds
CONNECTED, SILENT, MISSING, REVOKED = "connected", "silent", "missing", "revoked"
TWO_MACHINES = "on two machines"
RUNNING = "RUNNING"


@dataclass(frozen=True)
class Overview:
    """What the server says.

    Attributes:
        server: status, started, flare and fedbrats (versions), revoked: hospitals and people that it shuts out.
        sites: names of those that the server counts as connected.
        participants: every expected, connected or revoked site: name, state, seen_s, machines (addresses of a kit that
            runs on two), fedbrats and flare (versions).
        jobs: as `read_jobs` has them.
    """

    server: dict[str, Any]
    sites: list[str]
    participants: list[dict[str, Any]]
    jobs: list[dict[str, Any]]


def look_around(session: Any, kit: Path) -> Overview:
    """Ask the server who is there and what runs. kit: the person's, which says whom to expect."""
    with quiet():
        info = session.get_system_info()
    jobs = read_jobs(session)
    versions = _or_none(lambda: session.report_version("all")) or {}
    seen = {show(client.name): client.last_connect_time for client in info.client_info}
    now = time.time()
    revoked, double = _revoked_of(versions), _double_of(versions)
    participants = [
        judge_site(name, seen, now, revoked, double) | _versions_of(versions, name) | {"apart": _apart(versions, name)}
        for name in expected(kit, seen)
    ]
    started = info.server_info.start_time
    server = {
        "status": str(info.server_info.status),
        "started": time.strftime("%F %H:%M", time.localtime(started)) if started else None,
        **_versions_of(versions, SERVER),
        "revoked": revoked,
    }
    return Overview(server, sorted(seen), participants, jobs)


def read_jobs(session: Any) -> list[dict[str, Any]]:
    """Every job that the server knows, oldest first: FLARE's short row, submitter, round (`3/50`) and standing."""
    with quiet():
        jobs = _rows_of(session.list_jobs())
        # Who submitted a job is in its details alone, and its name as people know it is not.
        submitters = {job["job_id"]: job.get("submitter_name") for job in _rows_of(session.list_jobs(detailed=True))}
    return [_job(session, job, submitters) for job in jobs]


def expected(kit: Path, seen: Any) -> list[str]:
    """The sites of the consortium, as the kit says, and those that are connected."""
    try:
        listed = json.loads((kit / "local" / "consortium.json").read_text(encoding="utf-8")).get("sites", ())
    except (OSError, ValueError, AttributeError):
        listed = ()
    return sorted({*map(str, listed), *seen})


def judge_site(
    name: str,
    seen: Mapping[str, Any],
    now: float,
    revoked: Sequence[str] = (),
    double: Mapping[str, list[str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """One row: name, state, seen_s (seconds since its last sign of life, by the server's clock and ours), machines."""
    at = seen.get(name)
    ago = max(0.0, now - at) if isinstance(at, int | float) else None
    if name in revoked and name not in seen:
        state = REVOKED
    elif name in double:  # also one that is lost to FLARE, because its two processes take turns
        state = TWO_MACHINES
    elif name not in seen:
        state = MISSING
    else:
        state = SILENT if ago is not None and ago > SILENT_S else CONNECTED
    return {"name": name, "state": state, "seen_s": ago, "machines": list(double.get(name, ()))}


def _rows_of(said: Any) -> list[dict[str, Any]]:
    """The jobs in a server's answer, with texts that may be shown; what is none is left out."""
    rows = said if isinstance(said, list) else []
    return [clean(row) for row in rows if isinstance(row, dict) and isinstance(row.get("job_id"), str)]


def _job(session: Any, job: dict[str, Any], submitters: dict[Any, Any]) -> dict[str, Any]:
    standing = standing_of(session, job["job_id"]) if job.get("status") == RUNNING else None
    done = f"{standing['rounds_done']}/{standing.get('rounds')}" if standing else None
    return {**job, "submitter": submitters.get(job["job_id"]), "round": done, "standing": standing}


def _versions_of(versions: Any, name: str) -> dict[str, str | None]:
    """What a participant says of FLARE and of this package; null where it says nothing, as one does of another version.

    versions: by participant, `{"version": FLARE's, "fedbrats": ours}` (fedbrats.flare.process.version_report).
    """
    entries = _entries_of(versions, name)
    ours = read_version(entries.get(PACKAGE))
    flare = entries.get("version")
    return {"flare": None if flare is None else show(flare, 40), "fedbrats": ours.version if ours else None}


def _apart(versions: Any, name: str) -> str | None:
    """Why a site takes part in no job with this server; None where it does, or where one of them says no version."""
    here, there = (read_version(_entries_of(versions, each).get(PACKAGE)) for each in (SERVER, name))
    return why_apart(here, there) if here and there else None


def _entries_of(versions: Any, name: str) -> dict[str, Any]:
    said = versions.get(name) if isinstance(versions, dict) else None
    return said if isinstance(said, dict) else {}


def _revoked_of(versions: Any) -> list[str]:
    """Whom the server shuts out, as it says itself (fedbrats.flare.process.version_report)."""
    found = _said_by_server(versions).get("revoked")
    return [show(name) for name in found] if isinstance(found, list) else []


def _double_of(versions: Any) -> dict[str, list[str]]:
    """The addresses of each site whose kit runs on two machines."""
    found = _said_by_server(versions).get("two_machines")
    entries = found.items() if isinstance(found, dict) else ()
    return {show(name): [show(each) for each in said] for name, said in entries if isinstance(said, list)}


def _said_by_server(versions: Any) -> dict[str, Any]:
    said = versions.get(SERVER) if isinstance(versions, dict) else None
    return said if isinstance(said, dict) else {}


def _or_none(ask: Callable[[], Any]) -> Any:
    """What the server answers to a question that it may not understand; None where it does not."""
    try:
        with quiet():
            return ask()
    except Exception:  # FLARE raises many kinds; the rest of the overview is worth more
        return None
