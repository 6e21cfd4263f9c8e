"""A CSV table with a row a case, or several that agree, such as BraTS's own name_mapping.csv."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedbrats.errors import DataError

if TYPE_CHECKING:
    from fedbrats.data.cases.case import Case

_SEPARATORS = (",", ";", "\t")  # spreadsheets of many countries write semicolons


@dataclass(frozen=True)
class CaseTable:
    """What a table says of each case, by case name and column."""

    path: Path
    rows: dict[str, list[dict[str, str]]]

    def value(self, case: Case, column: str) -> str:
        """The text in `column` for `case`. Raises: DataError if there is none, or if two rows about it contradict."""
        texts = sorted({text for row in self.rows.get(case.name, ()) if (text := row.get(column, "").strip())})
        if not texts:
            raise DataError(f"{self.path} says nothing in column {column} about case {case.name}")
        if len(texts) > 1:
            raise DataError(
                f"{self.path} says both {texts[0]} and {texts[1]} in column {column} about case {case.name}; "
                f"leave the row that is right"
            )
        return texts[0]

    def has_column(self, column: str) -> bool:
        """Whether any row has this column."""
        return any(column in row for rows in self.rows.values() for row in rows)


def read_case_table(path: Path, cases: list[Case], column: str) -> CaseTable:
    """The rows of `path` that are about `cases`, found by whichever column holds the case names.

    A row that is shorter than the header says nothing in its last columns; values beyond the header are left out.
    Raises: DataError if the file is not there, has no `column`, or names none of the cases.
    """
    rows = _read_rows(path, _read_text(path), column)
    columns = list(rows[0]) if rows else []
    if column not in columns:
        raise DataError(f"{path} has no column {column!r}; it has {', '.join(columns) or 'no rows'}")
    names = {case.name for case in cases}
    best = max(columns, key=lambda c: sum(row[c] in names for row in rows))
    found: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        if row[best] in names:
            found.setdefault(row[best], []).append(row)
    if not found:
        raise DataError(f"no column of {path} holds the name of a case, such as {min(names)}")
    return CaseTable(path, found)


def read_table(path: Path) -> list[dict[str, str]]:
    """All rows of a table, by column. Raises: DataError if the file is not there or is no such table."""
    return _read_rows(path, _read_text(path), None)


def _read_text(path: Path) -> str:
    """The text of a table, in UTF-8, or in UTF-16 where the file says so: both tell when they are not."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"the table {path} is not there") from None
    if content[:2] == b"PK" or content[:4] == b"\xd0\xcf\x11\xe0":
        raise DataError(f"{path} is a workbook of a spreadsheet; save it as CSV in UTF-8")
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise DataError(
            f"{path} is not in UTF-8, its letters would be a guess: save it as `CSV UTF-8` (commas or semicolons)"
        ) from None


def _read_rows(path: Path, text: str, column: str | None) -> list[dict[str, str]]:
    """The rows, whatever of comma, semicolon and tab separates the header so that `column` is in it, or into most."""
    rows: list[dict[str, str]] = []
    for separator in _SEPARATORS:
        try:
            reader = csv.DictReader(io.StringIO(text, newline=""), restval="", delimiter=separator)
            found = [{name: row[name] for name in reader.fieldnames or ()} for row in reader]
        except csv.Error:
            raise DataError(f"{path} is not a CSV table: a row of it cannot be divided into fields") from None
        if column in (found[0] if found else ()):
            return found
        rows = max(rows, found, key=lambda each: len(each[0]) if each else 0)
    return rows
