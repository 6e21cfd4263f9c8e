"""Tell what is wrong with cases, once and in short, in every command that reads them; `fedbrats check` has it all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fedbrats.cli.progress import say
from fedbrats.data.check.problems import NOTE, Problem

FINDINGS = "findings"  # in split.json and in documents


def tell_findings(command: str, findings: Sequence[Problem], folder: object) -> None:
    """One line a kind on standard error, with its first case; notes are left to `fedbrats check`."""
    by_kind: dict[tuple[str, str], list[Problem]] = {}
    for finding in findings:
        if finding.severity != NOTE:
            by_kind.setdefault((finding.severity, finding.kind), []).append(finding)
    for (severity, kind), found in sorted(by_kind.items()):
        first = found[0]
        who = first.case or "the data set"
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        say(f"{command}: {severity}: {kind}: {who}{more}: {first.message}")
    if by_kind:
        say(f"{command}: `fedbrats check {folder}` shows all; docs/reference/findings.md says what to do")


def as_documents(findings: Iterable[Problem]) -> list[dict[str, Any]]:
    """For JSON."""
    return [asdict(finding) for finding in findings]


def recorded_findings(folder: Path) -> list[Problem]:
    """What `fedbrats split` found of the cases of a sites folder, or of a site in one; nothing without its record."""
    from fedbrats.data.split.sites import RECORD_NAME

    for place in (folder, folder.parent):
        try:
            found = json.loads((place / RECORD_NAME).read_text(encoding="utf-8")).get(FINDINGS, [])
            return [Problem(**{key: str(value) for key, value in each.items()}) for each in found]
        except (OSError, ValueError, TypeError, AttributeError):
            continue
    return []


def tell_recorded(command: str, folders: Iterable[Path]) -> None:
    """What is on record of the cases of these folders, each record once."""
    told: list[Problem] = []
    for folder in folders:
        if (found := recorded_findings(folder)) and found != told:
            told = found
            tell_findings(command, found, folder)
