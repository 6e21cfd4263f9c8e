"""Tests declare what they show, by a marker: how each ended is recorded, and a table of a page is made of that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from fedbrats.atomic import write_json_atomic

ROOT = Path(__file__).parents[1]


class Declarations:
    """pytest's hooks for one kind of declaration; tests/conftest.py registers each kind.

    Attributes:
        marker: its name; its one argument is a dataclass with a `name`.
        meaning: what pytest says of it.
        file: what was shown, a row a declaration by its name, over all sessions so far.
    """

    def __init__(self, marker: str, meaning: str, file: Path) -> None:
        self.marker, self.meaning, self.file = marker, meaning, file
        self._rows: dict[str, dict[str, str]] = {}

    def of(self, item: pytest.Item) -> list[Any]:
        """What a collected test declares; one test may show several."""
        return [mark.args[0] for mark in item.iter_markers(self.marker)]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        """Keep how the test ended, in whatever phase; one of several that failed has failed."""
        report = yield
        for declared in self.of(item):
            if report.when == "call" or report.outcome != "passed":
                test = item.nodeid.split("::", 1)[0].removeprefix("tests/") + "::" + item.originalname
                if self._rows.get(declared.name, {}).get("result", "passed") == "passed":
                    self._rows[declared.name] = row_of(declared, test, report.outcome)
        return report

    def pytest_sessionfinish(self) -> None:
        """Add what this session has shown to what earlier ones have."""
        if shown := {name: row for name, row in self._rows.items() if row["result"] != "skipped"}:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            known = {row["name"]: row for row in self.recorded()}
            write_json_atomic(self.file, dict(sorted({**known, **shown}.items())))

    def recorded(self) -> list[dict[str, str]]:
        """The rows of all sessions so far."""
        return list(json.loads(self.file.read_text(encoding="utf-8")).values()) if self.file.exists() else []


def row_of(declared: Any, test: str, result: str) -> dict[str, str]:
    """What is recorded: the declaration, the test that showed it and how that test ended."""
    return {**asdict(declared), "test": test, "result": result}


def said_of(result: str) -> str:
    """What a table adds where a test did not pass."""
    return "" if result == "passed" else f" **({result})**"


def table_line(*cells: str) -> str:
    """A line of a table in Markdown."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
