"""Findings of cases: whose they are, and where a command that reads a site keeps them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fedbrats.admin.run.poc import Poc
from fedbrats.api.findings import add_to_summary
from fedbrats.cli.main import main
from fedbrats.data.cases.case import find_cases
from fedbrats.data.cases.datalist import read_datalist
from fedbrats.data.check.problems import make_problem
from fedbrats.data.check.recorded import as_documents, recorded_findings
from fedbrats.site.site_file import SITE_FILE
from tests.data.broken import copy_case


def test_a_sites_findings_are_those_of_its_own_cases_and_of_the_data_set(phantom_sites: Path, tmp_path: Path) -> None:
    shutil.copytree(phantom_sites, tmp_path / "sites")
    own = {name: read_datalist(tmp_path / "sites" / name).cases[0].name for name in ("site-1", "site-2")}
    found = [make_problem(case, None, "partial-coverage", "half of it") for case in (*own.values(), "")]
    record = json.loads((tmp_path / "sites" / "split.json").read_text())
    (tmp_path / "sites" / "split.json").write_text(json.dumps({**record, "findings": as_documents(found)}))
    assert recorded_findings(tmp_path / "sites") == found
    assert [finding.case for finding in recorded_findings(tmp_path / "sites" / "site-2")] == [own["site-2"], ""]


def test_a_run_keeps_them_in_its_summary(tmp_path: Path) -> None:
    found = [make_problem("AB1", None, "partial-coverage", "half of it")]
    document = add_to_summary({"job": "fedavg", "results": str(tmp_path)}, found)
    assert document["findings"] == as_documents(found)
    assert json.loads((tmp_path / "summary.json").read_text()) == document


def test_a_poc_that_is_up_knows_where_its_cases_are(tmp_path: Path) -> None:
    for site in ("north", "south"):
        (tmp_path / site / "local").mkdir(parents=True)
        (tmp_path / site / "local" / SITE_FILE).write_text(json.dumps({"data_dir": "/data/{site}"}))
    poc = Poc(tmp_path, tmp_path, ("north", "south"))
    assert poc.data_dirs == [Path("/data/north"), Path("/data/south")]


def test_two_spellings_of_one_patient_are_a_warning_of_check_and_split(
    phantom_sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, case in zip(("PAT_7", "pat07"), find_cases(phantom_sites / "site-1"), strict=False):
        copy_case(case, tmp_path / "source", name)
    assert main(["check", str(tmp_path / "source"), "--convention", "brats-2018", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["problems"]
    assert found["kind"] == "similar-names"
    assert found["message"].startswith("patients PAT_7 and pat07 differ only in spelling;")
    words = ["--sites", "1", "--out", str(tmp_path / "sites"), "--convention", "brats-2018", "--json"]
    assert main(["split", str(tmp_path / "source"), *words]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["findings"] == [found]
    assert "split: warning: similar-names: the data set: patients PAT_7 and pat07" in err
