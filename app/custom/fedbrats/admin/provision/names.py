"""Which names FLARE and a certificate can carry, said before FLARE answers with a regular expression."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from fedbrats.errors import ConfigurationError
from fedbrats.outside import show

LONGEST = 64  # of a name or organisation in a certificate (RFC 5280)


class _Rule(NamedTuple):
    pattern: re.Pattern[str]
    words: str


_SITE = _Rule(re.compile(r"[A-Za-z0-9_-]+"), "letters a-z, digits, - and _, such as hospital-1")
_HOST = _Rule(
    re.compile(r"([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"),
    "a host name, such as server.example.org",
)
_PERSON = _Rule(re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}"), "an e-mail address")
_ORGANISATION = _Rule(re.compile(r"[A-Za-z0-9_]+"), "letters a-z, digits and _, such as tum_muc, and no dash or blank")
_NAMES = {"client": _SITE, "relay": _SITE, "server": _HOST, "admin": _PERSON}


def check_project_name(name: object) -> None:
    """Raise ConfigurationError for a project's name that cannot be a folder's: its kits and keys lie in a folder of it.

    `../../x` would put the root's private key outside the folder of the builds.
    """
    fits = isinstance(name, str) and 0 < len(name) <= LONGEST and name.isprintable() and not name.startswith(".")
    if not fits or {"/", "\\"} & set(str(name)):
        raise ConfigurationError(
            f"the project cannot have the name {show(name)}: its kits lie in a folder of this name; take letters, "
            f"digits, - and _, such as brain_consortium, and no more than {LONGEST} characters"
        )


def check_participant(entry: Mapping[str, Any]) -> None:
    """Raise ConfigurationError, which names the participant and the value, where FLARE would refuse one."""
    name, kind = entry.get("name"), entry.get("type")
    who = f"participant {name!r}"
    if (rule := _NAMES.get(str(kind))) is None:
        raise ConfigurationError(f"{who} is of type {kind!r}, expected one of {', '.join(_NAMES)}")
    _check(f"{who} cannot have this name: expected {rule.words}", rule, name)
    organisation = entry.get("org")
    complaint = f"{who} cannot have the organisation {organisation!r} (org): expected {_ORGANISATION.words}"
    _check(complaint, _ORGANISATION, organisation)


def _check(complaint: str, rule: _Rule, value: object) -> None:
    if not isinstance(value, str) or not rule.pattern.fullmatch(value):
        raise ConfigurationError(complaint)
    if len(value) > LONGEST:
        raise ConfigurationError(f"{complaint}, and no more than {LONGEST} characters")
