"""The README is a front page: short, with numbers that are those of the committed results."""

import json
import re
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
README = (HOUSE / "README.md").read_text(encoding="utf-8")
OVERVIEW = (HOUSE / "docs" / "results" / "overview.md").read_text(encoding="utf-8")
METHODS = {
    "all data in one place": "centralised",
    "each hospital alone": "local_only",
    "FedAvg": "fedavg",
    "FedAvg, the last three rounds at home (`fine_tuned`)": "fine_tuned",
    "Contribution Factor": "contribution",
    "Contribution Factor, personal heads": "contribution_fedper",
    "personal decoders (`fedper_decoder`)": "fedper_decoder",
    "personal heads (FedPer)": "fedper",
    "personal normalisation (FedBN)": "fedbn",
    "FedProx": "fedprox",
    "coordinate median": "median",
}
FOUND = {
    (row["split"], row["method"]): row["dice_mean"]
    for row in json.loads((HOUSE / "experiments" / "results" / "summary.json").read_text())["rows"]
}


def rows_of(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]


def test_it_is_short():
    lines = README.splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 120


def test_it_says_what_it_is_not():
    assert "Research software, not a medical device." in README.split("## ")[0]


def test_its_table_of_results_has_the_committed_numbers():
    part = README.split("## What came of it so far")[1].split("\n## ")[0]
    _, _, *rows = rows_of(part)
    assert len(rows) == 5
    for name, *values in rows:
        for split, value in zip(("institution", "unequal", "equal"), values, strict=True):
            dice = FOUND.get((split, METHODS[name]))
            assert value == ("not run" if dice is None else f"{dice:.3f}"), (name, split)


@pytest.mark.parametrize(
    ("beginning", "split"),
    [("**By institution**", "institution"), ("**At random, unequal**", "unequal"), ("**At random, equal**", "equal")],
)
def test_the_overview_has_the_committed_numbers(beginning, split):
    table = re.search(r"(?:^\|.*\n)+", OVERVIEW.split(beginning)[1], re.MULTILINE)[0]
    _, _, *rows = rows_of(table)
    assert {METHODS[name]: dice for name, dice, *_ in rows} == {
        method: f"{dice:.3f}" for (of, method), dice in FOUND.items() if of == split
    }
