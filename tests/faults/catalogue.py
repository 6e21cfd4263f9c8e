"""Every fault test says what it breaks and what comes of it; docs/reference/reliability.md has the table.

example:
  python -m pytest tests/faults            # writes build/faults.json, a row a fault that was injected
  python -m tests.faults.catalogue         # writes the table in docs/reference/reliability.md from it
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from fedbrats.atomic import write_json_atomic, write_text_atomic

ROOT = Path(__file__).parents[2]
FAULTS_FILE = ROOT / "build" / "faults.json"
PAGE = ROOT / "docs" / "reference" / "reliability.md"
BEGIN, END = "<!-- faults: made by tests -->", "<!-- end of faults -->"
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


def faults_of(item: pytest.Item) -> list[Fault]:
    """The faults that a collected test declares; one test may show several."""
    return [mark.args[0] for mark in item.iter_markers("fault")]


def record(rows: Mapping[str, Mapping[str, str]], path: Path = FAULTS_FILE) -> None:
    """Add the faults of one test session, by name, to those of earlier sessions."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomic(path, dict(sorted({**known, **rows}.items())))


def row_of(declared: Fault, test: str, result: str) -> dict[str, str]:
    """What is recorded of a fault: its declaration, the test that showed it and how that test ended."""
    return {**asdict(declared), "test": test, "result": result}


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """The Markdown table of the faults; one whose test did not pass says so."""
    lines = [
        f"{len(rows)} faults, {sum(row['result'] == 'passed' for row in rows)} shown by a passing test:",
        "",
        "| fault | injected | detected | outcome | shown by |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in sorted(rows, key=lambda row: (row["test"], row["name"])):
        failed = "" if row["result"] == "passed" else f" **({row['result']})**"
        cells = (row["name"], row["injected"], row["detected"], row["outcome"] + failed, f"`{row['test']}`")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def write_page(rows: Sequence[Mapping[str, str]], path: Path = PAGE) -> None:
    """Put the table between the marks of the page, whose prose stays."""
    page = path.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    write_text_atomic(path, f"{before}{BEGIN}\n{table(rows)}\n{END}{after}")


if __name__ == "__main__":
    write_page(list(json.loads(FAULTS_FILE.read_text(encoding="utf-8")).values()))
