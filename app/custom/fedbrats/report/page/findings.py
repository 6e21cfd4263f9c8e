"""What was found of the cases of the runs: how many cases a kind of finding concerns, and none of their names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from fedbrats.data.check.problems import FINDINGS, KINDS, NOTE
from fedbrats.report.numbers.results import Results
from fedbrats.report.page.blocks import Block, Table

COLUMNS = ("finding", "severity", "cases", "meaning", "what to do")
_WHOLE = "the data set"

Row = tuple[str, tuple[Any, ...]]


def findings(runs: Sequence[Results]) -> Sequence[Block]:
    """A table for the runs that share their findings; notes are left to `fedbrats check`."""
    sharing: dict[tuple[Row, ...], list[str]] = defaultdict(list)
    for run in runs:
        if rows := _rows(run):
            sharing[rows].append(run.name)
    return [
        Table(f"What the check found in the cases of {', '.join(names)}", COLUMNS, rows, "text")
        for rows, names in sharing.items()
    ]


def _rows(run: Results) -> tuple[Row, ...]:
    cases: dict[tuple[str, str], set[str]] = defaultdict(set)
    for document in (run.summary, run.evaluation or {}):
        for finding in document.get(FINDINGS) or ():
            if finding["severity"] != NOTE:
                cases[str(finding["severity"]), str(finding["kind"])].add(str(finding["case"]))
    return tuple((kind, (severity, _count(own), *_told(kind))) for (severity, kind), own in sorted(cases.items()))


def _count(cases: set[str]) -> int | str:
    return len(cases) if any(cases) else _WHOLE


def _told(kind: str) -> tuple[str, str]:
    """Meaning and advice; nothing of a kind that only another version knows."""
    known = KINDS.get(kind)
    return (known.meaning, known.advice) if known else ("", "")
