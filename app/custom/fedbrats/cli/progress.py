"""What commands that run jobs show: a line a step on standard error, tables or documents at the end."""

from __future__ import annotations

import shlex
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.api.progress import Progress as Show
from fedbrats.api.progress import Step, time_left
from fedbrats.api.progress import duration as duration
from fedbrats.cli.output import print_json, print_line, print_table
from fedbrats.rows import ROWS_FILE, describe_model, read_rows

if TYPE_CHECKING:
    from fedbrats.admin.run.following import Progress


QUIET_S, LONGEST_QUIET_S = 10.0, 300.0  # seconds without a line; a log that nobody watches gets fewer
_said_at = [0.0]  # when the last line was


def say(text: str) -> None:
    """Tell a person how far things are; standard output stays free for results."""
    _said_at[0] = time.monotonic()
    print_line(text, sys.stderr)


def show_sentence(step: Step) -> None:
    """A step of the API that says something."""
    say(step.text)


@contextmanager
def steps(*, is_table: bool = False) -> Iterator[Show]:
    """What shows the steps of a function of the API: a line each, and a bar where a person watches.

    is_table: whether the command ends with a table, which says what is in the result.
    """
    from rich.console import Console
    from rich.progress import Progress as Bar

    bar = Bar(console=Console(file=sys.stderr), disable=not sys.stderr.isatty())
    tasks: dict[str, Any] = {}

    def show(step: Step) -> None:
        if step.done is None:
            return None if is_table and step.is_in_result else show_sentence(step)
        if step.text not in tasks:
            bar.start()
            tasks[step.text] = bar.add_task(step.text, total=step.total)
        return bar.update(tasks[step.text], completed=step.done)

    try:
        yield show
    finally:
        bar.stop()


def this_command() -> str:
    """The command as it was given, for a person who begins it again."""
    return shlex.join(["fedbrats", *sys.argv[1:]])


def rounds_done(results: Path) -> int:
    """The last round that a run has finished, counted from 1, by the rows in its results folder; 0 for none."""
    path = results / ROWS_FILE
    rows = read_rows(path) if path.exists() else []
    return max((row["round"] + 1 for row in rows if row["kind"] == "round"), default=0)


class RoundLines:
    """Tells a person of a job that runs: one line a round."""

    def __init__(self) -> None:
        self._told: int | None = None

    def __call__(self, progress: Progress) -> None:
        """Say how far it is, where a round is done since the last time."""
        if progress.rounds_done == self._told:
            return
        self._told = progress.rounds_done
        say(f"{progress.job}: {line_of(progress)}")


def line_of(progress: Progress) -> str:
    """How far a job is, in one line; a score says of which model it is, and of how many cases."""
    done, rounds = progress.rounds_done, progress.rounds
    if not rounds:
        return f"{progress.sites} sites evaluate"
    if not done:
        return f"round 1/{rounds} begins at {progress.sites} sites"
    parts = [f"round {done}/{rounds} done, {progress.answered}/{progress.sites} sites"]
    if progress.dice is not None:
        parts.append(f"the shared model before it had Dice {progress.dice:.3f} on {progress.cases} validation cases")
    if done == rounds:
        long = "" if progress.last_seconds is None else f", for about {duration(progress.last_seconds)}"
        parts.append(f"now the final model is evaluated{long}")
    elif progress.seconds_left is not None:
        parts.append(time_left(progress.seconds_left, progress.last_seconds))
    return "; ".join(parts)


@contextmanager
def never_silent(doing: str) -> Iterator[None]:
    """While a block runs, say that it still does where nothing was said for ten seconds, and less often later."""
    ended = threading.Event()

    def watch() -> None:
        pause, began = QUIET_S, time.monotonic()
        while not ended.wait(1.0):
            if time.monotonic() - max(_said_at[0], began) >= pause:
                pause = QUIET_S if sys.stderr.isatty() else min(2 * pause, LONGEST_QUIET_S)
                say(f"{doing}: still at work, for {duration(time.monotonic() - began)} so far")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


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
