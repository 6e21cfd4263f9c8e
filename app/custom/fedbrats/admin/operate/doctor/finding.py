"""What a check says: how it stands, what was found, and where something is wrong, what to do and whose task it is."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARNING, FAILED = "ok", "warning", "failed"
HOSPITAL_IT, PROJECT_ADMIN, DATA_SCIENTIST = "hospital IT", "project admin", "data scientist"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table; remedy and owner are empty where all is well."""

    check: str
    state: str
    found: str
    remedy: str = ""
    owner: str = ""


def good(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, OK, found)


def doubtful(check: str, found: str, remedy: str, owner: str) -> Finding:
    """The federation would run; somebody should look."""
    return Finding(check, WARNING, found, remedy, owner)


def failed(check: str, found: str, remedy: str, owner: str) -> Finding:
    """The federation would not run, or not as agreed."""
    return Finding(check, FAILED, found, remedy, owner)
