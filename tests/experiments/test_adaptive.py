"""The table of docs/results/attacks.md is that of the results, and the results are what the command gives."""

import importlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def adaptive(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    return importlib.import_module("adaptive")


def test_the_table_of_the_page_is_that_of_the_results(adaptive):
    rows = json.loads((ROOT / "experiments" / "results" / "adaptive.json").read_text())["rows"]
    assert adaptive.as_markdown(rows) in (ROOT / "docs" / "results" / "attacks.md").read_text()


@pytest.mark.parametrize(("method", "attack"), [("FedAvg", "drift"), ("multi-Krum", "alie, two sites")])
def test_a_row_is_what_the_command_gives(adaptive, method, attack):
    rows = json.loads((ROOT / "experiments" / "results" / "adaptive.json").read_text())["rows"]
    [row] = [row for row in rows if (row["method"], row["attack"]) == (method, attack)]
    assert adaptive.measure(method, attack, 10)["loss"] == pytest.approx(row["loss"], rel=1e-6)
