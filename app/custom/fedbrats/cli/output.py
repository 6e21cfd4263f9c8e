"""What commands print: a table for people, one JSON document for scripts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO, TypeVar

from fedbrats.outside import show, show_lines

Item = TypeVar("Item")
LONGEST_CELL = 2000  # signs: a path and what is wrong with its file
LONGEST_LINE = 4000


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Print rows as an aligned table on standard output."""
    from rich.console import Console
    from rich.table import Column, Table

    # Fold, where a terminal is narrow: half a file's name would be of no use.
    table = Table(*(Column(name, overflow="fold") for name in columns), title=title, title_justify="left")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    # A pipe has no width of its own: never fold a table that a script or a log will read.
    width = None if sys.stdout.isatty() else 160
    # Without markup and emoji: a fingerprint has `:AB:` in it, a path may have brackets.
    console = Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)
    console.print(table)


def print_line(text: object, stream: TextIO | None = None) -> None:
    """Print a sentence on standard output, or on `stream`: nothing that stands in it moves a terminal.

    A command goes on where nobody reads its standard error any more, as of a terminal that was closed.
    """
    try:
        print(show_lines(str(text), LONGEST_LINE), file=stream, flush=stream is not None)
    except OSError:
        if stream is not sys.stderr:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def print_json(document: Mapping[str, Any], indent: int | None = 2) -> None:
    """Print one JSON document on standard output."""
    print(json.dumps(document, indent=indent, allow_nan=False))


def follow(items: Iterable[Item], total: int, doing: str) -> Iterator[Item]:
    """`items` as they come, their progress on standard error where a person watches it."""
    from rich.console import Console
    from rich.progress import track

    console = Console(file=sys.stderr)
    yield from track(items, description=doing, total=total, console=console, disable=not sys.stderr.isatty())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    return show(str(value), longest=LONGEST_CELL)
