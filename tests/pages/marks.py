"""The parts of a page that commands make stand between two comments; the prose around them is written by hand."""

from __future__ import annotations

from pathlib import Path

from fedbrats.atomic import write_text_atomic


def between(page: Path, name: str) -> str:
    """What stands in the page between the marks of this name."""
    text = page.read_text(encoding="utf-8")
    return text.split(_begin(name))[1].split(_end(name))[0].strip()


def put_between(page: Path, name: str, made: str) -> None:
    """Put text between the marks of this name."""
    before, rest = page.read_text(encoding="utf-8").split(_begin(name))
    write_text_atomic(page, f"{before}{_begin(name)}\n{made.strip()}\n{_end(name)}{rest.split(_end(name))[1]}")


def _begin(name: str) -> str:
    return f"<!-- {name}: made by tests -->"


def _end(name: str) -> str:
    return f"<!-- end of {name} -->"
