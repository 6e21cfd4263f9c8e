"""Every command, make target and script that a document names is there and takes what the document gives it."""

from __future__ import annotations

import json
import re
import shlex
from contextlib import suppress
from pathlib import Path

import pytest

from fedbrats.cli.main import COMMANDS
from tests.pages import commands, configuration
from tests.pages.reading import blocks_of, fedbrats_commands, lines_of

HOUSE = Path(__file__).parents[2]
PAGES = [
    *(path for path in sorted(HOUSE.glob("*.md"))),
    *sorted((HOUSE / "docs").rglob("*.md")),
    *sorted((HOUSE / "provisioning").rglob("*.md")),
]
TARGETS = re.findall(r"^([a-z-]+):.*## ", (HOUSE / "Makefile").read_text(), re.MULTILINE)


def misunderstood(words: list[str], whole: bool = False) -> str | None:
    """What the command line has against a command, but for arguments and values that a sentence leaves out.

    whole: it stands in a block, for a reader to type, and lacks nothing.
    """
    name, *rest = words
    if name not in COMMANDS:
        return f"there is no command {name}"
    parser = commands.parser_of(name)
    said: list[str] = []
    for each in (parser, *commands.parsers_below(parser)):
        each.error = said.append  # type: ignore[method-assign, assignment]
    with suppress(
        TypeError, AttributeError, SystemExit
    ):  # it goes on where `error` would have ended it; --help ends it
        parser.parse_args(rest)
    wrong = [each for each in said if whole or (" required" not in each and ": expected " not in each)]
    return f"fedbrats {shlex.join(words)}: {wrong[0]}" if wrong else None


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(HOUSE)) for page in PAGES])
def test_the_commands_of_a_page_are_understood(page):
    found = fedbrats_commands(lines_of(page.read_text(encoding="utf-8")))
    assert [wrong for words in found if (wrong := misunderstood(words))] == []


def test_a_command_in_a_block_lacks_nothing():
    found = [
        (page.name, words)
        for page in PAGES
        for words in fedbrats_commands(lines_of(blocks_of(page.read_text(encoding="utf-8"))))
    ]
    assert len(found) > 100, "this test finds nothing any more"
    assert [f"{page}: {wrong}" for page, words in found if (wrong := misunderstood(words, whole=True))] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_an_example_that_it_understands(name):
    _, *examples = commands.EXAMPLE.split(commands.parser_of(name).description or "", maxsplit=1)
    found = list(fedbrats_commands(iter("".join(examples).splitlines())))
    assert name in {words[0] for words in found}
    assert [wrong for words in found if (wrong := misunderstood(words))] == []


def test_make_targets_and_scripts_that_pages_name_are_there():
    missing = []
    for page in PAGES:
        for line in lines_of(page.read_text(encoding="utf-8")):
            command = re.split(r"\s#", line)[0]
            if found := re.match(r"\s*(?:\w+=\S+ )*make ((?:[a-z-]+ ?)+)$", command.rstrip()):
                missing += [f"make {target}" for target in found[1].split() if target not in TARGETS]
            for script in re.findall(r"python3? (\S+\.py)\b", command):
                missing += [] if (HOUSE / script).is_file() else [script]
            for module in re.findall(r"python3? -m ((?:tests|fedbrats)\.\S+)", command):
                tail = module.replace(".", "/") + ".py"
                missing += [] if (HOUSE / tail).is_file() or (HOUSE / "app/custom" / tail).is_file() else [module]
    assert missing == []


def test_the_page_of_commands_is_what_help_says():
    made = commands.page() == commands.PAGE.read_text(encoding="utf-8")
    assert made, "run `make pages` and commit what it changes"


def test_the_page_of_configuration_is_what_is_declared():
    made = configuration.page() == configuration.PAGE.read_text(encoding="utf-8")
    assert made, "run `python -m tests.pages.configuration`"


def test_what_does_not_exist_is_found():
    found = list(
        fedbrats_commands(lines_of("`fedbrats fly`, `fedbrats check --wings X`\n```sh\na/fedbrats split X\n```"))
    )
    assert [bool(misunderstood(words)) for words in found] == [True, True, False]
    assert misunderstood(["check"], whole=True)
    assert not misunderstood(["check"])


def test_the_notebook_names_commands_that_are_there():
    cells = json.loads((HOUSE / "docs" / "guide" / "tutorial.ipynb").read_text(encoding="utf-8"))["cells"]
    called = re.findall(r"\bfedbrats\(\s*\"([a-z]+)\"", "".join("".join(cell["source"]) for cell in cells))
    assert called
    assert set(called) <= set(COMMANDS)
