"""Tables of Markdown, for pages that are made from numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], number: str = ".4g") -> str:
    """A table with a line end after it; `number` formats what is a float, and None is a dash."""

    def cell(value: Any) -> str:
        if value is None:
            return "-"
        return f"{value:{number}}" if isinstance(value, float) else str(value)

    lines = [columns, ["---"] * len(columns), *([cell(value) for value in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
