"""What commands that run jobs show: a line a step on standard error, tables or documents at the end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fedbrats.cli.output import print_json, print_line, print_table
from fedbrats.rows import describe_model

if TYPE_CHECKING:
    from fedbrats.admin.run.following import Progress


def say(text: str) -> None:
    """Tell a person how far things are; standard output stays free for results."""
    print_line(text, sys.stderr)


def duration(seconds: float) -> str:
    """A time as a person says it: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def show_progress(progress: Progress) -> None:
    """One line a change."""
    dice = "" if progress.dice is None else f", Dice {progress.dice:.3f}"
    if not progress.rounds:
        say(f"{progress.job}: {progress.sites} sites evaluate")
    elif progress.rounds_done == progress.rounds:
        say(f"{progress.job}: {progress.rounds} rounds done, evaluating the final model{dice}")
    else:
        say(
            f"{progress.job}: round {progress.rounds_done + 1}/{progress.rounds}, "
            f"{progress.answered}/{progress.sites} sites answered{dice}"
        )


def print_documents(documents: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    """Print summary documents: one line of JSON each, or a table of Dice by site."""
    if as_json:
        for document in documents:
            print_json(document, indent=None)
        return
    rows: list[tuple[Any, ...]] = []
    trained = [document for document in documents if document["dice"]]
    for document in trained:
        rows.append((document["job"], "all", document["cases"], *_cells(document["dice"]), _mean(document["iou"])))
        for name, site in document["per_site"].items():
            rows.append(("", name, site["cases"], *_cells(site["dice"]), _mean(site["iou"])))
    if rows:
        columns = ("job", "site", "cases", "Dice", "WT", "TC", "ET", "IoU")
        print_table(columns, rows, title="The final model, by validation")
    for document in documents:
        if matrix := document.get("evaluation"):
            _print_matrix(matrix)
    for document in documents:
        if note := document.get("note"):
            print_line(f"{document['job']}: {note}")
        for site, rounds in document.get("silent_rounds", {}).items():
            print_line(f"{document['job']}: {site} counted for nothing in {rounds} of {document['rounds']} rounds")
        for site, count in document.get("refusals", {}).items():
            print_line(f"{document['job']}: {count} answers of {site} were refused; rows.jsonl says why")
        print_line(f"{document['job']}: {document['seconds']:.0f} s, results in {document['results']}")


def _print_matrix(matrix: Sequence[dict[str, Any]]) -> None:
    """Mean Dice of each model at each site."""
    sites = sorted({site for entry in matrix for site in entry["sites"]})
    rows = [
        (describe_model(entry), *(_mean(entry["sites"].get(site, {}).get("dice")) for site in sites))
        for entry in matrix
    ]
    print_table(("model", *sites), rows, title="Mean Dice of each model at each site")


def _cells(values: dict[str, float] | None) -> tuple[float | None, ...]:
    return tuple((values or {}).get(region) for region in ("mean", "WT", "TC", "ET"))


def _mean(values: dict[str, float] | None) -> float | None:
    return (values or {}).get("mean")
