"""How many training cases this site has registered with the consortium, as its kit says."""

from __future__ import annotations

import json
from pathlib import Path

CONSORTIUM_FILE = "consortium.json"
REGISTERED = "registered_cases"


def read_registered(local_dir: Path) -> int | None:
    """The number of cases; None where the kit says none, for the server alone decides by its own register."""
    try:
        found = json.loads((local_dir / CONSORTIUM_FILE).read_text(encoding="utf-8")).get(REGISTERED)
    except (OSError, ValueError, AttributeError):
        return None
    return found if type(found) is int else None


def say_too_many(cases: int, local_dir: Path) -> str | None:
    """A sentence where a site would train on more cases than it has registered; else None."""
    registered = read_registered(local_dir)
    if registered is None or cases <= registered:
        return None
    return (
        f"{cases} training cases, and {registered} are registered with the consortium: the server refuses every update "
        f"of this site; register more with the project admin, or list fewer in the datalist"
    )
