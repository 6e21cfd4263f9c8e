"""What a participant's process writes into its kit of who is there, for commands on the same machine."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from fedbrats.outside import clean, show

SITES_FILE = "sites.json"  # of a server's kit
TWO_MACHINES_FILE = "two_machines.json"  # of a site's kit, while the server says that another runs it too
OLD_S = 60.0


def read_sites(kit: Path) -> dict[str, dict[str, Any]] | None:
    """The sites that the server of this machine knows: seen (seconds since 1970), two_machines (addresses).

    One without `seen` is not connected: two processes of its kit take turns.
    None where the server does not run, or has not written for a minute.
    """
    found = _read(kit / SITES_FILE, OLD_S)
    sites = found and clean(found).get("sites")
    return {name: each for name, each in sites.items() if isinstance(each, dict)} if isinstance(sites, dict) else None


def read_objections(kit: Path) -> dict[str, dict[str, str]]:
    """Why sites do not run a job, by running job and site; empty where the server does not run."""
    found = _read(kit / SITES_FILE, OLD_S)
    said = clean(found).get("objections") if found else None
    jobs = said.items() if isinstance(said, dict) else ()
    return {job: {site: str(why) for site, why in sites.items()} for job, sites in jobs if isinstance(sites, dict)}


def read_two_machines(kit: Path) -> str | None:
    """What the server tells this site's process of late about a second machine; None where it tells nothing."""
    found = _read(kit / TWO_MACHINES_FILE, OLD_S)  # of two that take turns, each is told again within 40 s
    return show(found["machines"], 200) if found and "machines" in found else None


def _read(path: Path, old_s: float) -> dict[str, Any] | None:
    """A JSON object that a process keeps writing; None where there is none, or the process has ended."""
    try:
        if time.time() - path.stat().st_mtime > old_s:
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
