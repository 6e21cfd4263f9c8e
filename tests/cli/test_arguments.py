"""Numbers and arguments that cannot be are wrong usage, said in a sentence before anything is read."""

import pytest

from fedbrats.cli.main import COMMANDS, main
from tests.pages.commands import parser_of, parsers_below


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["personalise", "model", "site", "--rounds", "0"], "--rounds: '0' is not a whole number from 1"),
        (["personalise", "model", "site", "--rounds", "-2"], "--rounds: '-2' is not a whole number from 1"),
        (["split", "cases", "--out", "sites", "--seed", "-1"], "--seed: '-1' is not a whole number from 0"),
        (["phantom", "sites", "--seed", "-1"], "--seed: '-1' is not a whole number from 0"),
        (["phantom", "sites", "--seed", "1.5"], "--seed: '1.5' is not a whole number from 0"),
        (["job", "timeouts", "fedavg", "--mbit", "nan", "--round-seconds", "9"], "--mbit: 'nan' is not a number"),
        (["job", "timeouts", "fedavg", "--mbit", "9", "--round-seconds", "inf"], "--round-seconds: 'inf' is not"),
        (["phantom", "sites", "--noise", "nan"], "--noise: 'nan' is not a number"),
        (["train", "sites", "--threads", "0"], "--threads: '0' is not a whole number from 1"),
        (["predict", "model", "cases", "--out", "out", "--threads", "-1"], "--threads: '-1' is not a whole number"),
    ],
)
def test_a_number_that_cannot_be_is_wrong_usage(words, said, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "usage", "unknown"),
    [
        (["phantom", "--out", "sites"], "usage: fedbrats phantom", "--out"),
        (["poc", "down", "--data", "sites"], "usage: fedbrats poc", "--data sites"),
        (
            ["predict", "one", "two", "--flips", "case", "--out", "masks"],
            "usage: fedbrats predict",
            "case; options stand before or after all other words, and not between them",
        ),
    ],
)
def test_an_argument_that_a_command_does_not_have_is_answered_with_its_usage(words, usage, unknown, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(usage)
    assert said.endswith(f"error: unrecognized arguments: {unknown}\n")


def test_no_command_takes_a_number_that_is_none():
    for name in COMMANDS:
        parser = parser_of(name)
        for each in (parser, *parsers_below(parser)):
            assert not [action.dest for action in each._actions if action.type is float], name


def test_no_command_shows_all_of_them(capsys):
    assert main([]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "divide a data set into one folder per site" in " ".join(shown.err.split())
