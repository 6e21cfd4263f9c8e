"""Who is there and who is not; a job that finished no round is not gone on from."""

import json

import nvflare
import pytest
from nvflare.private.admin_defs import Message
from nvflare.private.fed.client.scheduler_cmds import ReportVersionProcessor

import fedbrats
from fedbrats.admin.operate.overview import _versions_of, expected, judge_site
from fedbrats.admin.run.remote import _check_finished_round
from fedbrats.cli.main import main
from fedbrats.errors import ConfigurationError
from fedbrats.flare.process import version_report
from tests.end_to_end.consortium import ADMIN, LEAD


def test_a_site_is_there_or_silent_or_missing():
    seen = {"a": 1000.0, "b": 900.0, "c": None}
    states = {name: judge_site(name, seen, 1010.0) for name in ("a", "b", "c", "d")}
    assert [states[name]["state"] for name in "abcd"] == ["connected", "silent", "connected", "missing"]
    assert [states[name]["seen_s"] for name in "abcd"] == [10.0, 110.0, None, None]


def test_a_site_says_both_versions_and_another_version_of_ours_says_one():
    versions = {"a": {"version": "2.9.0", "fedbrats": "0.1.0"}, "b": {"version": "2.9.0"}, "c": {"error": "x"}, "d": 5}
    assert [tuple(_versions_of(versions, name).values()) for name in "abcde"] == [
        ("2.9.0", "0.1.0"), ("2.9.0", None), (None, None), (None, None), (None, None),
    ]  # fmt: skip
    assert _versions_of({"a": {"version": "\x1b[2J" * 99}}, "a")["flare"].isprintable()


def test_what_a_site_answers_when_it_is_asked_for_its_version(monkeypatch):
    monkeypatch.setattr(ReportVersionProcessor, "process", ReportVersionProcessor.process)
    version_report.tell_package()
    version_report.tell_package()  # a process may build several guards
    said = json.loads(ReportVersionProcessor().process(Message("sys.report_version", ""), None).body)
    assert _versions_of({"a": said}, "a") == {"flare": nvflare.__version__, "fedbrats": fedbrats.__version__}


def test_a_persons_kit_says_whom_to_expect(kits):
    assert expected(kits / LEAD, {"hospital-late": 0.0}) == [
        "hospital-central", "hospital-east", "hospital-late", "hospital-north", "hospital-south", "hospital-west",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kinds", "refused"), [(["job"], True), (["job", "round"], False), (["resume"], False), ([], True)]
)
def test_a_job_without_a_finished_round_is_not_gone_on_from(tmp_path, kinds, refused):
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "rows.jsonl").write_text("".join(json.dumps({"kind": kind}) + "\n" for kind in kinds))
    if refused:
        with pytest.raises(ConfigurationError, match="finished no round"):
            _check_finished_round(tmp_path, "x")
    else:
        _check_finished_round(tmp_path, "x")


def test_where_there_are_no_rows_nobody_knows(tmp_path):
    _check_finished_round(tmp_path, "x")


def test_nobody_shuts_himself_out(kits, capsys):
    assert main(["revoke", ADMIN, "--kit", str(kits / ADMIN)]) == 1
    assert "nobody would be left" in capsys.readouterr().err
