"""`fedbrats report` on a real training: a page with pictures of phantoms, and never of patients by accident."""

import json
import shutil

import pytest

from fedbrats.cli.main import main


def test_a_page_with_the_pictures_of_phantoms(trained_results, phantom_sites, tmp_path, capsys):
    out = tmp_path / "page.html"
    words = ["report", str(trained_results), "--data", str(phantom_sites), "--out", str(out), "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == {"report": str(out), "runs": ["train like fedavg"], "pictures": 2}
    page = out.read_text()
    assert page.count("data:image/png;base64,") == 2  # two validation cases: the best and the worst
    assert "Not a medical device".lower() in page.lower()


def test_scans_that_are_no_phantoms_are_shown_only_when_told(trained_results, phantom_sites, tmp_path, capsys):
    sites = tmp_path / "sites"
    shutil.copytree(phantom_sites, sites)
    (sites / "split.json").write_text(json.dumps({"made_by": "split"}))
    out = tmp_path / "page.html"
    words = ["report", str(trained_results), "--data", str(sites), "--out", str(out)]
    assert main(words) == 1
    assert "add --pictures" in capsys.readouterr().err
    assert not out.exists()
    assert main([*words, "--pictures"]) == 0
    assert "data:image/png" in out.read_text()


def test_live_ends_with_the_job(trained_results, tmp_path):
    assert main(["report", str(trained_results), "--live", "--out", str(tmp_path / "page.html")]) == 0
    assert "http-equiv" not in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("name", ["nothing", "."])
def test_a_folder_without_results_is_refused(tmp_path, capsys, name):
    assert main(["report", str(tmp_path / name), "--out", str(tmp_path / "page.html")]) == 1
    assert "holds no rows.jsonl" in capsys.readouterr().err
