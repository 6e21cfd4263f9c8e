"""Every fedbrats command that the runbook and the kits' READMEs name is one that the command line takes."""

import argparse
import importlib
import re

import pytest

from fedbrats.cli.main import COMMANDS
from fedbrats.shipped import PACKAGE_DIR, shipped_dir
from tests.pages.reading import fedbrats_commands, lines_of

FOLDER = shipped_dir() / "provisioning"
PAGES = [FOLDER / "RUNBOOK.md", *sorted((FOLDER / "readme").glob("*.md"))]


def commands(text):
    return fedbrats_commands(lines_of(text))


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_its_commands_are_understood(page):
    found = list(commands(page.read_text()))
    assert found
    for name, *words in found:
        module = importlib.import_module(f"fedbrats.cli.{COMMANDS[name][0]}.{name.replace('-', '_')}")
        parser = argparse.ArgumentParser(exit_on_error=False)
        module.add_arguments(parser)
        if words:
            parser.parse_args(words)


def test_the_runbook_names_every_way_to_change_a_consortium():
    named = {words[1] for words in commands(PAGES[0].read_text()) if words[0] == "provision" and len(words) > 1}
    assert named == {
        "build",
        "show",
        "add-site",
        "add-user",
        "renew",
        "revoke",
        "wheelhouse",
        "pack",
        "retire",
        "lock",
        "authority",
    }


def test_the_messages_that_operations_explains_are_said_somewhere():
    page = (shipped_dir() / "docs" / "reference" / "operations.md").read_text()
    table = page.partition("| it says | do |")[2].partition("\n\n")[0]
    messages = [word for row in table.splitlines() for word in re.findall(r"`([^`]+)`", row.split(" | ")[0])]
    said = "\n".join(path.read_text() for path in sorted(PACKAGE_DIR.rglob("*.py")))
    assert len(messages) >= 10
    assert [message for message in messages if message not in said] == []
