"""Every test of an attack says who attacks and what comes of it; docs/reference/security.md is made from that.

example:
  python -m pytest tests/security tests/end_to_end   # writes build/attacks.json, a row an attack that was tried
  python -m tests.security.attacks                   # writes the table in docs/reference/security.md from it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.declared import ROOT, Declarations, said_of, table_line
from tests.pages.marks import between, put_between

PAGE = ROOT / "docs" / "reference" / "security.md"
PART = "attacks"  # of the page
ATTACKS = Declarations(
    "attack", "attack(declaration): an attack that the test tries (tests.security.attacks)", ROOT / "build/attacks.json"
)
HEAD = (
    "| attack | who | what now happens | the line that says so | shown by |",
    "| --- | --- | --- | --- | --- |",
)


@dataclass(frozen=True)
class Attack:
    """What was tried, by whom, and what now happens; `says` is the line that tells, without times and ids."""

    name: str
    who: str
    happens: str
    says: str


def attack(name: str, *, who: str, happens: str, says: str = "") -> pytest.MarkDecorator:
    """Declare a test, or one of its parameters (`pytest.param(..., marks=attack(...))`), as the proof of a defence."""
    return pytest.mark.attack(Attack(name, who, happens, says))


def table(rows: Sequence[Mapping[str, str]], before: str = "") -> str:
    """The Markdown table of the attacks; one whose test did not pass says so.

    before: the table so far, whose rows stay where these sessions did not run their tests.
    """
    lines = [_line(row) for row in rows]
    known = {_name_of(line) for line in lines}
    old = [line for line in before.splitlines() if line.startswith("| ") and line not in HEAD]
    lines += [line for line in old if _name_of(line) not in known]
    return "\n".join([*HEAD, *sorted(lines, key=lambda line: (line.rsplit(" | ", 1)[1], line))])


def _line(row: Mapping[str, str]) -> str:
    says = f"`{row['says']}`" if row["says"] else ""
    return table_line(row["name"], row["who"], row["happens"] + said_of(row["result"]), says, f"`{row['test']}`")


def _name_of(line: str) -> str:
    return line.split(" | ", 1)[0]


def write_page(rows: Sequence[Mapping[str, str]], path: Path = PAGE) -> None:
    """Put the table between the marks of the page, whose prose stays."""
    put_between(path, PART, table(rows, between(path, PART)))


if __name__ == "__main__":
    write_page(ATTACKS.recorded())
