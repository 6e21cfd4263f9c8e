"""The kinds of misbehaviour there are."""

from __future__ import annotations

from collections.abc import Mapping

from fedbrats.errors import ConfigurationError
from fedbrats.misbehaviour.adaptive import ADAPTIVE_ATTACKS
from fedbrats.misbehaviour.cases import CASE_CORRUPTIONS, SHUFFLED_LABELS
from fedbrats.misbehaviour.updates import UPDATE_CORRUPTIONS

ABSURD_CASES = "absurd-cases"  # the site declares a billion training cases
COPY = "copy:"  # followed by the site whose data and seed are used
KINDS = (*CASE_CORRUPTIONS, SHUFFLED_LABELS, *UPDATE_CORRUPTIONS, *ADAPTIVE_ATTACKS, ABSURD_CASES)


def check_misbehaviour(kinds: Mapping[str, str]) -> dict[str, str]:
    """Return what each site does wrong, by its name. Raises: ConfigurationError for a kind that does not exist."""
    for site, kind in kinds.items():
        if kind not in KINDS and not kind.startswith(COPY):
            raise ConfigurationError(f"site {site}: misbehaviour {kind!r} is not one of {', '.join(KINDS)}, {COPY}SITE")
    return dict(kinds)


def copied_site(kind: str) -> str | None:
    """The site whose data and seed are used in the place of the site's own; None for another kind."""
    return kind.removeprefix(COPY) if kind.startswith(COPY) else None
