"""The README is a front page: short, with numbers that are those of the committed results."""

from pathlib import Path

from experiments.real_tables import RESULTS, named, row_of
from fedbrats.report.numbers.method_table import new_hospitals
from fedbrats.report.numbers.records import read_records

HOUSE = Path(__file__).parents[2]
README = (HOUSE / "README.md").read_text(encoding="utf-8")
METHODS = {"all data in one place": "centralised", "each hospital alone": "local_only", "FedAvg": "fedavg"}


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
    records = read_records(RESULTS / "from-phantoms" / "runs.jsonl")
    records = [record for record in records if named(record) in METHODS.values()]
    elsewhere = {row["model"]: row["dice"] for row in new_hospitals(records) if row["where"] == "outside"}
    assert len(rows) == len(METHODS)
    for name, own, new in rows:
        row = row_of(METHODS[name], records)
        assert (own, row["patients"]) == (f"{row['dice']:.3f}", 39), name
        shared = elsewhere.get(METHODS[name], elsewhere["local_only: mean of the hospitals' models"])
        assert new.startswith(f"{shared:.3f}"), name
        if METHODS[name] == "local_only":
            assert f"the best one {elsewhere['local_only: best of them']:.3f}" in new
