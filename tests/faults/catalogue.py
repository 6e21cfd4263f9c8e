"""Every fault test says what it breaks and what comes of it; docs/reference/reliability.md has the table.

example:
  python -m pytest tests/faults            # writes build/faults.json, a row a fault that was injected
  python -m tests.faults.catalogue         # writes the table in docs/reference/reliability.md from it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.declared import ROOT, Declarations, said_of, table_line
from tests.pages.marks import put_between

PAGE = ROOT / "docs" / "reference" / "reliability.md"
PART = "faults"  # of the page
FAULTS = Declarations(
    "fault", "fault(declaration): a fault that the test injects (tests.faults.catalogue)", ROOT / "build/faults.json"
)
SURVIVED, ENDED = "survived", "ended loudly"


@dataclass(frozen=True)
class Fault:
    """What was broken, how, who noticed, and what came of it; `outcome` begins with SURVIVED or ENDED."""

    name: str
    injected: str
    detected: str
    outcome: str


def fault(name: str, *, injected: str, detected: str, outcome: str) -> pytest.MarkDecorator:
    """Declare a test, or one of its parameters (`pytest.param(..., marks=fault(...))`), as the proof of a fault."""
    if not outcome.startswith((SURVIVED, ENDED)):
        raise ValueError(f"the outcome of {name!r} must begin with {SURVIVED!r} or {ENDED!r}")
    return pytest.mark.fault(Fault(name, injected, detected, outcome))


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """The Markdown table of the faults; one whose test did not pass says so."""
    lines = [
        f"{len(rows)} faults, {sum(row['result'] == 'passed' for row in rows)} shown by a passing test:",
        "",
        "| fault | injected | detected | outcome | shown by |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in sorted(rows, key=lambda row: (row["test"], row["name"])):
        outcome = row["outcome"] + said_of(row["result"])
        lines.append(table_line(row["name"], row["injected"], row["detected"], outcome, f"`{row['test']}`"))
    return "\n".join(lines)


def write_page(rows: Sequence[Mapping[str, str]], path: Path = PAGE) -> None:
    """Put the table between the marks of the page, whose prose stays."""
    put_between(path, PART, table(rows))


if __name__ == "__main__":
    write_page(FAULTS.recorded())
