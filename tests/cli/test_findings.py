"""Findings of cases: whose they are, and where a command that reads a site keeps them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from fedbrats.admin.run.poc import Poc
from fedbrats.cli.cases.findings import add_to_summary, as_documents, recorded_findings
from fedbrats.data.cases.datalist import read_datalist
from fedbrats.data.check.problems import make_problem
from fedbrats.site.site_file import SITE_FILE


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
