"""The README is a front page: short, with numbers that are those of the committed results."""

from pathlib import Path

import pytest

from experiments.real_tables import RESULTS, named, natural, of_split, plain_longer, row_of
from fedbrats.report.numbers.method_table import new_hospitals
from fedbrats.report.numbers.records import read_records

HOUSE = Path(__file__).parents[2]
README = (HOUSE / "README.md").read_text(encoding="utf-8")
METHODS = {
    "all data in one place": "centralised",
    "each hospital alone": "local_only",
    "FedAvg": "fedavg",
    "`best_of`": "best_of",
}


def rows_of(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]


def test_it_is_short():
    lines = README.splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 120


def test_it_says_what_it_is_not():
    assert "Research software, not a medical device." in README.split("## ")[0]


def table_of_results():
    """(steps, trained by, own patients, new hospital) of each row."""
    part = README.split("## What came of it so far")[1].split("\n## ")[0]
    return rows_of(part)[2:]


def records_of(steps):
    """The committed runs with so many steps at each hospital, by the split by institution."""
    folder = "longer" if steps == "2560" else "from-phantoms"
    records = natural(read_records(RESULTS / folder / "runs.jsonl"))
    return plain_longer(records) if folder == "longer" else records


@pytest.mark.parametrize(("steps", "name", "own", "new"), table_of_results())
def test_its_table_of_results_has_the_committed_numbers(steps, name, own, new):
    method = METHODS[name]
    records = [record for record in records_of(steps) if named(record) == method]
    assert {record["variables"]["num_rounds"] * record["variables"]["local_steps"] for record in records} == {
        int(steps)
    }
    row = row_of(method, records)
    assert (own, row["patients"]) == (f"{row['dice']:.3f}", 39)
    elsewhere = {row["model"]: row["dice"] for row in new_hospitals(records) if row["where"] == "outside"}
    shared = elsewhere.get(method, elsewhere.get("local_only: mean of the hospitals' models"))
    assert new.startswith(f"{shared:.3f}")
    if method == "local_only":
        assert f"the best one {elsewhere['local_only: best of them']:.3f}" in new
    if method == "best_of":
        kept = elsewhere["best_of: mean of the hospitals' models"]
        assert f"patients of elsewhere better ({kept:.3f} to " in " ".join(README.split())


def test_what_it_says_of_hospitals_that_are_alike_has_the_committed_numbers():
    records = of_split(read_records(RESULTS / "from-phantoms" / "runs.jsonl"), "unequal")
    federated, alone = (row_of(method, records)["dice"] for method in ("fedavg", "local_only"))
    assert f"of unequal size: FedAvg {federated:.3f}, each alone {alone:.3f}," in " ".join(README.split())
