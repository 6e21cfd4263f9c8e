"""A text of somebody else's, made fit for a line: of a log, of a terminal, of a row."""

from __future__ import annotations

LONGEST = 80


def shown(said: object, longest: int = LONGEST) -> str:
    """At most `longest` printable signs of what somebody said; `?` stands for a sign that is not printable."""
    text = said if isinstance(said, str) else repr(said) if not isinstance(said, int) or abs(said) < 10**20 else "huge"
    text = "".join(sign if sign.isprintable() else "?" for sign in text[: longest + 1])
    return text if len(text) <= longest else text[: longest - 3] + "..."
