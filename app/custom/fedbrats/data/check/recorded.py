"""What was found of cases as it is kept and told: the record of `fedbrats split`, documents for JSON, lines to read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fedbrats.data.cases.datalist import read_datalist
from fedbrats.data.check.problems import FINDINGS, NOTE, Problem
from fedbrats.errors import FedbratsError


def describe_findings(command: str, findings: Sequence[Problem], folder: object) -> list[str]:
    """One line a kind, with its first case; notes are left to `fedbrats check`."""
    by_kind: dict[tuple[str, str], list[Problem]] = {}
    for finding in findings:
        if finding.severity != NOTE:
            by_kind.setdefault((finding.severity, finding.kind), []).append(finding)
    lines = []
    for (severity, kind), found in sorted(by_kind.items()):
        first = found[0]
        who = first.case or "the data set"
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        lines.append(f"{command}: {severity}: {kind}: {who}{more}: {first.message}")
    if by_kind:
        lines.append(f"{command}: `fedbrats check {folder}` shows all; docs/reference/findings.md says what to do")
    return lines


def as_documents(findings: Iterable[Problem]) -> list[dict[str, Any]]:
    """For JSON."""
    return [asdict(finding) for finding in findings]


def recorded_findings(folder: Path) -> list[Problem]:
    """What `fedbrats split` found of the cases of a sites folder, or of a site in one; nothing without its record."""
    from fedbrats.data.split.sites import RECORD_NAME

    for place in (folder, folder.parent):
        try:
            found = json.loads((place / RECORD_NAME).read_text(encoding="utf-8")).get(FINDINGS, [])
            findings = [Problem(**{key: str(value) for key, value in each.items()}) for each in found]
        except (OSError, ValueError, TypeError, AttributeError):
            continue
        return findings if place == folder else _of_site(findings, folder)
    return []


def all_recorded(folders: Iterable[Path]) -> list[Problem]:
    """What is on record of the cases of several folders, each finding once."""
    return list(dict.fromkeys(finding for folder in folders for finding in recorded_findings(folder)))


def _of_site(findings: Sequence[Problem], site_dir: Path) -> list[Problem]:
    """Those of one site's cases and of the whole data set."""
    try:
        own = {case.name for case in read_datalist(site_dir).cases}
    except FedbratsError:  # told, with the reason, by whoever reads its cases
        return list(findings)
    return [finding for finding in findings if not finding.case or finding.case in own]
