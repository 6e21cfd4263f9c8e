"""Texts that come from outside, as they may be shown, logged or written: bounded, and nothing in them acts."""

from __future__ import annotations

LONGEST = 300
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def show(text: str, longest: int = LONGEST) -> str:
    """A text of somebody else's in one line: what does not print is written as its code, and its end is cut.

    A terminal's control sequence, a line break in a log and a mark that turns the reading direction are such.
    """
    plain = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)
    return plain if len(plain) <= longest else f"{plain[:longest]}..."


def show_in_table(text: str) -> str:
    """The same for a cell of a CSV file: a spreadsheet must not take it for a formula."""
    plain = show(text)
    return f"'{plain}" if plain.startswith(FORMULA_SIGNS) else plain
