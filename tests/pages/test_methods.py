"""The table of methods in docs/guide/own-method.md: files, papers, jobs and tests are those that there are."""

import re
from pathlib import Path

import numpy as np
import pytest

from fedbrats.extensions.trial import try_first_round
from fedbrats.federation.gates import Contribution

HOUSE = Path(__file__).parents[2]
PACKAGE = HOUSE / "app" / "custom" / "fedbrats"
HEADING = "## The methods of fedbrats are written this way"


def table():
    """(method, jobs, file, paper, test) of each row."""
    part = (HOUSE / "docs" / "guide" / "own-method.md").read_text().partition(HEADING)[2].partition("\n## ")[0]
    rows = [re.split(r" *\| *", line.strip("|").strip()) for line in part.splitlines() if line.startswith("| ")]
    return rows[1:]


def test_every_file_of_methods_stands_in_the_table():
    files = {f"methods/{path.name}" for path in (PACKAGE / "methods").glob("*.py") if path.stem != "__init__"}
    assert {row[2].strip("`") for row in table()} == files


@pytest.mark.parametrize("row", table(), ids=lambda row: row[2])
def test_a_row_is_true(row):
    _, jobs, file, paper, test = row
    text = (PACKAGE / file.strip("`")).read_text()
    assert paper.startswith("[") or paper.rpartition(", ")[2] in text
    assert (HOUSE / test.strip("`")).is_file()
    assert all((HOUSE / "jobs" / job.strip("`") / "meta.json").is_file() for job in jobs.split(", "))


def test_the_example_of_a_hook_and_its_method_runs():
    """Two sites play a round with the classes as they stand on the page, and what they say weighs."""
    page = (HOUSE / "docs" / "guide" / "own-method.md").read_text()
    [source] = [part for part in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "(SiteHook)" in part]
    found: dict = {}
    exec(compile(source, "drift.py", "exec"), found)
    try_first_round(found["NearFirst"], [found["Drift"]], {"preset": "tiny"}, {"w": np.ones(3, np.float32)})
    update = {"w": np.ones(3, np.float32)}
    near, far = (
        Contribution(site=site, round_number=0, cases=4, steps=1, update=update, said={"drift": drift})
        for site, drift in (("site-1", 0.0), ("site-2", 1.0))
    )
    rows = found["NearFirst"]().combine([near, far], 0).rows
    assert [row["weight"] for row in rows] == pytest.approx([2 / 3, 1 / 3])
    assert rows[0].keys() == {"site", "prior", "weight", "clip_scale"}
