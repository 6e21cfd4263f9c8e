"""Tell what is wrong with cases, once and in short, in every command that reads them; `fedbrats check` has it all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from fedbrats.api import findings as api
from fedbrats.api.progress import Watch
from fedbrats.cli.progress import show_sentence
from fedbrats.data.check.problems import Problem


def tell_findings(command: str, findings: Sequence[Problem], folder: object) -> None:
    """One line a kind on standard error, with its first case; notes are left to `fedbrats check`."""
    api.tell_findings(Watch(show_sentence), command, findings, folder)


def tell_recorded(command: str, folders: Iterable[Path]) -> list[Problem]:
    """Tell what is on record of the cases of these folders, and return it; each finding once."""
    return api.tell_recorded(Watch(show_sentence), command, folders)
