"""Every test of an attack says who attacks and what comes of it; docs/reference/security.md is made from that.

example:
  python -m pytest tests/security tests/end_to_end   # writes build/attacks.json, a row an attack that was tried
  python -m tests.security.attacks                   # writes the table in docs/reference/security.md from it
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from fedbrats.atomic import write_json_atomic, write_text_atomic

ROOT = Path(__file__).parents[2]
ATTACKS_FILE = ROOT / "build" / "attacks.json"
PAGE = ROOT / "docs" / "reference" / "security.md"
BEGIN, END = "<!-- attacks: made by tests -->", "<!-- end of attacks -->"


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


def attacks_of(item: pytest.Item) -> list[Attack]:
    """The attacks that a collected test declares; one test may show several."""
    return [mark.args[0] for mark in item.iter_markers("attack")]


def row_of(declared: Attack, test: str, result: str) -> dict[str, str]:
    """What is recorded of an attack: its declaration, the test that showed it and how that test ended."""
    return {**asdict(declared), "test": test, "result": result}


def record(rows: Mapping[str, Mapping[str, str]], path: Path = ATTACKS_FILE) -> None:
    """Add the attacks of one test session, by name, to those of earlier sessions."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomic(path, dict(sorted({**known, **rows}.items())))


HEAD = (
    "| attack | who | what now happens | the line that says so | shown by |",
    "| --- | --- | --- | --- | --- |",
)


def table(rows: Sequence[Mapping[str, str]], before: str = "") -> str:
    """The Markdown table of the attacks; one whose test did not pass says so.

    before: the table so far, whose rows stay where these sessions did not run their tests.
    """
    lines = []
    for row in rows:
        failed = "" if row["result"] == "passed" else f" **({row['result']})**"
        says = f"`{row['says']}`" if row["says"] else ""
        cells = (row["name"], row["who"], row["happens"] + failed, says, f"`{row['test']}`")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    known = {_name_of(line) for line in lines}
    old = [line for line in before.splitlines() if line.startswith("| ") and line not in HEAD]
    lines += [line for line in old if _name_of(line) not in known]
    return "\n".join([*HEAD, *sorted(lines, key=lambda line: (line.rsplit(" | ", 1)[1], line))])


def _name_of(line: str) -> str:
    return line.split(" | ", 1)[0]


def write_page(rows: Sequence[Mapping[str, str]], path: Path = PAGE) -> None:
    """Put the table between the marks of the page, whose prose stays."""
    page = path.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    old, _, after = rest.partition(END)
    write_text_atomic(path, f"{before}{BEGIN}\n{table(rows, old)}\n{END}{after}")


if __name__ == "__main__":
    write_page(list(json.loads(ATTACKS_FILE.read_text(encoding="utf-8")).values()))
