"""What comes from outside, as it may be shown, logged or written: bounded, one line, and nothing in it acts."""

from __future__ import annotations

from typing import Any

SHORT, LONGEST_CELL, LONGEST_TEXT = 80, 300, 2000
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def show(said: object, longest: int = SHORT) -> str:
    """At most `longest` signs of what somebody else said, in one line; what does not print is written as its code.

    A terminal's control sequence, a line break in a log and a mark that turns the reading direction are such. Never
    raises, whatever `said` is.
    """
    text = _text_of(said)[: longest + 1]
    text = text if text.isprintable() else "".join(map(_escape, text))
    return text if len(text) <= longest else text[: longest - 3] + "..."


def show_lines(text: str, longest: int) -> str:
    """The same for a text of several lines: those after the first are indented, so that none of them is one's own."""
    cut = text if len(text) <= longest else f"{text[:longest]}..."
    return "\n    ".join(line if line.isprintable() else "".join(map(_escape, line)) for line in cut.split("\n"))


def show_in_table(text: str) -> str:
    """The same for a cell of a CSV file: a spreadsheet must not take it for a formula."""
    plain = show(text, LONGEST_CELL)
    return f"'{plain}" if plain.startswith(FORMULA_SIGNS) else plain


def clean(document: Any) -> Any:
    """A JSON document of somebody else's, each text and key of which may be shown (`show`); numbers stay as they are.

    Raises: RecursionError for one that is nested beyond measure.
    """
    if isinstance(document, str):
        return show(document, LONGEST_TEXT)
    if isinstance(document, list):
        return [clean(each) for each in document]
    if isinstance(document, dict):
        return {show(name, LONGEST_TEXT): clean(each) for name, each in document.items()}
    return document


def _text_of(said: object) -> str:
    if isinstance(said, str):
        return said
    try:
        return repr(said)
    except Exception:  # a whole number of 5,000 digits, or an object that cannot be told
        return f"a {type(said).__name__}"


def _escape(sign: str) -> str:
    return sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii")
