"""What was found of cases, told to the caller and written into the results of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fedbrats.api.progress import Watch
from fedbrats.data.check.problems import FINDINGS, Problem
from fedbrats.run_folder import SUMMARY_FILE


def tell_findings(watch: Watch, command: str, findings: Sequence[Problem], folder: object) -> None:
    """Warn of findings, one line a kind."""
    from fedbrats.data.check.recorded import describe_findings

    for line in describe_findings(command, findings, folder):
        watch.warn(line)


def tell_recorded(watch: Watch, command: str, folders: Iterable[Path]) -> list[Problem]:
    """Warn of what is on record of the cases of these folders, and return it."""
    from fedbrats.data.check.recorded import all_recorded

    folders = list(folders)
    found = all_recorded(folders)
    tell_findings(watch, command, found, folders[0] if len(folders) == 1 else "FOLDER")
    return found


def add_to_summary(document: dict[str, Any], findings: Iterable[Problem]) -> dict[str, Any]:
    """The summary of a run with what was found of its cases, also in its results folder, where a report finds it."""
    from fedbrats.atomic import write_json_atomic
    from fedbrats.data.check.recorded import as_documents

    document[FINDINGS] = as_documents(findings)
    write_json_atomic(Path(document["results"]) / SUMMARY_FILE, document)
    return document
