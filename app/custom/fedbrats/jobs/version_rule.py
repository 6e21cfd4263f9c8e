"""Which versions of this package work together in one job: a job, a server and a site each say two numbers.

A version says its own number, and the oldest version that it works with (`__oldest__` of the package). Of two versions
the newer one decides, because it knows the older one, and not the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeGuard

from packaging.version import InvalidVersion
from packaging.version import Version as Number

import fedbrats
from fedbrats.outside import show

MADE_BY = "made_by"  # at the top of both configurations of a built job; signed with them
VERSION, OLDEST = "version", "oldest"
LONGEST = 40


@dataclass(frozen=True)
class Version:
    """A version of this package.

    Attributes:
        version: its number, such as 0.2.0.
        oldest: the oldest version that it works with in one job; its own number where it says nothing.
    """

    version: str
    oldest: str

    def document(self) -> dict[str, str]:
        """What a job and a site say of it."""
        return {VERSION: self.version, OLDEST: self.oldest}


def this_version() -> Version:
    """The version that is installed here."""
    return Version(fedbrats.__version__, fedbrats.__oldest__)


def read_version(said: Any) -> Version | None:
    """What somebody says of a version; None where it is no version.

    said: `Version.document`, or the number alone, which then works with itself only as far as it says.
    """
    if isinstance(said, str):
        said = {VERSION: said}
    if not isinstance(said, dict):
        return None
    version = said.get(VERSION)
    oldest = said.get(OLDEST, version)
    if not (_is_number(version) and _is_number(oldest)):
        return None
    return Version(version, oldest) if Number(oldest) <= Number(version) else None


def _is_number(said: Any) -> TypeGuard[str]:
    if not isinstance(said, str) or len(said) > LONGEST:
        return False
    try:
        Number(said)
    except InvalidVersion:
        return False
    return said.isascii() and said.isprintable()


def why_apart(one: Version, other: Version) -> str | None:
    """Why two versions take part in no job together, as a clause; None where they do."""
    older, newer = sorted((one, other), key=lambda each: Number(each.version))
    if Number(newer.oldest) <= Number(older.version):
        return None
    return f"fedbrats {newer.version} works with {newer.oldest} or later, and not with {older.version}"


def why_refused(made_by: Any) -> str | None:
    """Why a job does not run with the version here, in a sentence that says what to do; None where it does.

    made_by: what the job says, with `MADE_BY`; None in a job that was built before jobs said so.
    """
    if made_by is None:
        return None
    maker, here = read_version(made_by), this_version()
    if maker is None:
        return f"the job cannot run: it says that {show(made_by, LONGEST)} made it, which is no version"
    if (why := why_apart(maker, here)) is None:
        return None
    if Number(maker.version) > Number(here.version):
        do = f"install fedbrats {maker.version}, or have the job built with {here.version}"
    else:
        do = f"build it again with fedbrats {here.version}, `fedbrats job build`"
    return f"the job cannot run: {maker.version} made it, and {here.version} is installed here; {why}; {do}"
