"""`fedbrats audit` on phantoms: it finds a network that knows its patients, and its numbers reach report and card."""

import json

import pytest

from fedbrats.cli.main import main
from fedbrats.model.training import auditing
from fedbrats.privacy.membership import is_conclusive
from fedbrats.report.numbers.results import read_results
from fedbrats.report.page.blocks import Section, render
from fedbrats.report.page.privacy import privacy


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """A short training on phantoms, and what the audit said of it."""
    folder = tmp_path_factory.mktemp("audit")
    words = ["phantom", str(folder / "sites"), "--sites", "2", "--cases", "8", "--validation-share", "0.5"]
    assert main([*words, "--spacing-mm", "6"]) == 0
    words = [
        "train",
        str(folder / "sites"),
        "--rounds",
        "1",
        "--out",
        str(folder / "run"),
        "--cache",
        str(folder / "cache"),
    ]
    settings = ("network=tiny", "local_steps=2", "patch_size=[16,16,16]", "spacing_mm=8.0", "final_flips=false")
    assert main([*words, "--threads", "1", *(word for each in settings for word in ("--set", each))]) == 0
    return folder


def audit(folder, *words):
    return main(["audit", str(folder / "run"), "--data", str(folder / "sites"), "--cache", str(folder / "cache"),
                 "--threads", "1", "--json", *words])  # fmt: skip


def test_the_audit_finds_what_it_must_and_says_so_in_report_and_card(audited, capsys, tmp_path):
    status = audit(audited)
    found = json.loads(capsys.readouterr().out)
    assert found["controls"]["by_heart"]["found"]["auc"] >= 0.9
    assert found["controls"]["by_heart"]["as_expected"]
    assert status == (0 if is_conclusive(found) else 1)
    assert (found["members"], found["others"], found["references"]) == (8, 8, 0)
    assert set(found["by_site"]) == {"site-1", "site-2"}
    assert json.loads((audited / "run" / "audit.json").read_text()) == found
    page = render(
        [Section("Privacy", privacy(read_results([audited / "run"])))],
        title="", overview="", notice="", refresh_s=None, version="", written="",
    )  # fmt: skip
    assert "Who was in the training data, by an audit" in page
    assert main(["export", str(audited / "run"), "--bundle", str(tmp_path / "bundle")]) == 0
    card = (tmp_path / "bundle" / "docs" / "README.md").read_text()
    assert "without differential privacy" in card
    assert "An audit told training patients" in card or "the audit says nothing" in card


def test_where_references_trained_elsewhere_the_control_has_a_reference_of_its_kind(audited, capsys):
    assert main(["phantom", str(audited / "others"), "--sites", "3", "--cases", "2", "--spacing-mm", "6"]) == 0
    capsys.readouterr()
    reference = f"{audited / 'run'}={audited / 'others' / 'site-3'}"  # the audited model has two sites
    audit(audited, "--reference", reference, "--out", str(audited / "elsewhere"))
    found = json.loads(capsys.readouterr().out)
    by_heart = found["controls"]["by_heart"]
    assert by_heart["as_expected"]
    assert (by_heart["found"]["members"], by_heart["found"]["others"]) == (4, 8)
    assert found["membership"]["auc"] == 0.5  # where the model is its own reference


def test_a_control_that_does_not_come_out_is_an_error(audited, capsys, monkeypatch):
    monkeypatch.setattr(auditing, "STEPS_A_CASE", 1)
    status = audit(audited, "--out", str(audited / "elsewhere"))
    found = json.loads(capsys.readouterr().out)
    assert not found["controls"]["by_heart"]["as_expected"]
    assert status == (0 if is_conclusive(found) else 1)


def test_what_cannot_be_is_refused_in_one_sentence(audited, capsys, tmp_path):
    assert audit(audited, "--reference", "nowhere") == 1
    assert "nowhere" in capsys.readouterr().err
    assert main(["audit", str(audited / "run"), "--data", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err
