"""Make docs/reference/commands.md from what `--help` says.

example:
  python -m tests.pages.commands
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fedbrats.atomic import write_text_atomic
from fedbrats.cli.main import COMMANDS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"
WIDTH = 90
EXAMPLE = re.compile(r"^examples?:", re.MULTILINE)
INTRODUCTION = """# Commands

Made by `python -m tests.pages.commands` from what each command says with `--help`.

Exit status, unless a command says otherwise: 0 it is done, also with warnings; 1 there is an error, or with `--strict`
a warning, and it says which; 2 the arguments are wrong; 130 it was interrupted. With `--json` a command writes one JSON
document to standard output; messages go to standard error.
"""


def main() -> None:
    """Write the page."""
    write_text_atomic(PAGE, page())


def page() -> str:
    """The page as it should be."""
    rows = [f"| [`{name}`](#fedbrats-{name}) | {line} |" for name, (_, line) in COMMANDS.items()]
    parts = [INTRODUCTION, "\n".join(["| command | what it does |", "|---|---|", *rows]) + "\n"]
    for name in COMMANDS:
        parser = parser_of(name)
        parts += [f"## fedbrats {name}\n", *described(parser.description or "")]
        for each in (parser, *parsers_below(parser)):
            parts.append(f"```text\n{usage_of(each)}\n```\n")
        if parser.epilog:
            parts.append(f"```text\n{parser.epilog.strip()}\n```\n")
    return "\n".join(parts)


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of one command, as `fedbrats` builds it."""
    module = importlib.import_module(f"fedbrats.cli.{COMMANDS[name][0]}.{name.replace('-', '_')}")
    parser = argparse.ArgumentParser(prog=f"fedbrats {name}", description=module.__doc__)
    module.add_arguments(parser)
    return parser


def parsers_below(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The parsers of a command's own commands, such as `poc run`."""
    found = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return [below for action in found for below in action.choices.values()]


def described(text: str) -> Iterator[str]:
    """A command's description as Markdown: paragraphs, then its examples."""
    before, *examples = EXAMPLE.split(text, maxsplit=1)
    yield "".join(escaped(part) for part in re.split(r"(`[^`]*`)", before)).strip() + "\n"
    if examples:
        lines = [line.strip() for line in examples[0].strip("\n").splitlines()]
        yield "```sh\n" + "\n".join(line for line in lines if line) + "\n```\n"


def escaped(text: str) -> str:
    """Text whose signs Markdown would take for tags or emphasis; code stays as it is."""
    return text if text.startswith("`") else re.sub(r"([<*])", r"\\\1", text)


def usage_of(parser: argparse.ArgumentParser) -> str:
    """What `--help` prints of the arguments, at a fixed width."""
    description, epilog = parser.description, parser.epilog
    parser.description = parser.epilog = None
    with terminal_of(WIDTH):
        text = parser.format_help()
    parser.description, parser.epilog = description, epilog
    return text.strip()


@contextmanager
def terminal_of(columns: int) -> Iterator[None]:
    """Let argparse find a terminal of this width."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(columns + 2)
    try:
        yield
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before


if __name__ == "__main__":
    main()
