"""Tell what is wrong with cases, once and in short, in every command that reads them; `fedbrats check` has it all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fedbrats.cli.progress import say
from fedbrats.data.check.problems import FINDINGS, NOTE, Problem
from fedbrats.run_folder import SUMMARY_FILE


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
            findings = [Problem(**{key: str(value) for key, value in each.items()}) for each in found]
        except (OSError, ValueError, TypeError, AttributeError):
            continue
        return findings if place == folder else _of_site(findings, folder)
    return []


def tell_recorded(command: str, folders: Iterable[Path]) -> list[Problem]:
    """Tell what is on record of the cases of these folders, and return it; each finding once."""
    folders = list(folders)
    found = list(dict.fromkeys(finding for folder in folders for finding in recorded_findings(folder)))
    if found:
        tell_findings(command, found, folders[0] if len(folders) == 1 else "FOLDER")
    return found


def add_to_summary(document: dict[str, Any], findings: Iterable[Problem]) -> dict[str, Any]:
    """The summary of a run with what was found of its cases, also in its results folder, where a report finds it."""
    from fedbrats.atomic import write_json_atomic

    document[FINDINGS] = as_documents(findings)
    write_json_atomic(Path(document["results"]) / SUMMARY_FILE, document)
    return document


def _of_site(findings: Sequence[Problem], site_dir: Path) -> list[Problem]:
    """Those of one site's cases and of the whole data set."""
    from fedbrats.data.cases.datalist import read_datalist
    from fedbrats.errors import FedbratsError

    try:
        own = {case.name for case in read_datalist(site_dir).cases}
    except FedbratsError:  # told, with the reason, by whoever reads its cases
        return list(findings)
    return [finding for finding in findings if not finding.case or finding.case in own]
