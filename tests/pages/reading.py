"""The commands that a document gives its reader: inline code, and the lines of its blocks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

HOUSE = Path(__file__).parents[2]


def lines_of(text: str) -> Iterator[str]:
    """Lines that a reader would type: inline code, and lines of fenced blocks with continued lines joined."""
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL))
    for block in re.findall(r"^ *```sh\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()


def blocks_of(text: str) -> str:
    """The fenced blocks of a shell's commands, with their fences."""
    return "".join(re.findall(r"^ *```sh\n.*?^ *```\n", text, re.MULTILINE | re.DOTALL))


def commands_under(page: str, heading: str) -> list[list[str]]:
    """The commands of the blocks below a heading of a page, as words after `fedbrats`."""
    part = (HOUSE / page).read_text(encoding="utf-8").split(f"\n{heading}\n")[1].split("\n## ")[0]
    return list(fedbrats_commands(lines_of(blocks_of(part))))


def fedbrats_commands(lines: Iterator[str]) -> Iterator[list[str]]:
    """The words after `fedbrats` of every command among the lines."""
    for line in lines:
        for part in re.split(r"&&|\|| > ", re.split(r"\s#", line)[0]):
            found = re.match(r"\s*(?:\w+=\S+ )*(?:\S*/)?fedbrats ([a-z].*)", part)
            if found:
                yield shlex.split(found[1].replace("$", ""))
