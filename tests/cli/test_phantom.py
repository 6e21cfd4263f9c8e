"""`fedbrats phantom`: a sites folder like those of `split`, ready to train on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedbrats.cli.main import main
from fedbrats.data.cases.datalist import find_sites, read_datalist

TINY = ["--sites", "2", "--cases", "2", "--spacing-mm", "6"]


def test_the_document_tells_what_was_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sites"
    assert main(["phantom", str(out), *TINY, "--seed", "4", "--json"]) == 0
    counts = {"cases": 2, "patients": 2, "training": 1, "validation": 1, "test": 0}
    assert json.loads(capsys.readouterr().out) == {"out": str(out), "sites": {"site-1": counts, "site-2": counts}}
    assert [len(read_datalist(site).cases) for site in find_sites(out)] == [2, 2]
    record = json.loads((out / "split.json").read_text())
    assert record["made_by"] == "phantom"
    assert record["settings"]["seed"] == 4
    assert main(["check", str(out)]) == 0


def test_the_table_and_a_folder_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["phantom", str(tmp_path / "sites"), *TINY]
    assert main(arguments) == 0
    assert "site-2" in capsys.readouterr().out
    assert main(arguments) == 1
    assert "--force" in capsys.readouterr().err
    assert main([*arguments, "--force", "--unequal"]) == 0


@pytest.mark.parametrize("wrong", [["--spacing-mm", "20"], ["--sites", "0"], ["--noise", "-1"]])
def test_a_wrong_setting_leaves_nothing(tmp_path: Path, wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phantom", str(tmp_path / "sites"), *wrong]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
