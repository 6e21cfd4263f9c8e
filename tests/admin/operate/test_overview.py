"""Who is there and who is not; a job that finished no round is not gone on from."""

import json
from types import SimpleNamespace

import nvflare
import pytest
from nvflare.private.admin_defs import Message
from nvflare.private.fed.client.scheduler_cmds import ReportVersionProcessor
from nvflare.private.fed.server.sys_cmd import SystemCommandModule

import fedbrats
from fedbrats.admin.operate.overview import _apart, _double_of, _revoked_of, _versions_of, expected, judge_site
from fedbrats.admin.run.remote import _check_finished_round
from fedbrats.cli.main import main
from fedbrats.errors import ConfigurationError
from fedbrats.flare.process import version_report
from fedbrats.flare.process.site_versions import SiteVersions
from fedbrats.jobs.version_rule import this_version
from tests.end_to_end.consortium import ADMIN, LEAD


def test_a_site_is_there_or_silent_or_missing():
    seen = {"a": 1000.0, "b": 900.0, "c": None}
    states = {name: judge_site(name, seen, 1010.0) for name in ("a", "b", "c", "d")}
    assert [states[name]["state"] for name in "abcd"] == ["connected", "silent", "connected", "missing"]
    assert [states[name]["seen_s"] for name in "abcd"] == [10.0, 110.0, None, None]


def test_who_is_shut_out_and_whose_kit_runs_twice_is_told():
    said = {"server": {"version": "2.9.0", "revoked": ["b", "x@y.z\x1b"], "two_machines": {"a": ["10.0.0.1"], "c": 5}}}
    assert _revoked_of(said) == ["b", "x@y.z\\x1b"]
    assert _double_of(said) == {"a": ["10.0.0.1"]}
    for nothing in ({}, None, {"server": 5}, {"server": {"revoked": 5, "two_machines": [1]}}):
        assert (_revoked_of(nothing), _double_of(nothing)) == ([], {})
    rows = [judge_site(name, {"a": 0.0}, 1.0, _revoked_of(said), _double_of(said)) for name in "abc"]
    assert [row["state"] for row in rows] == ["on two machines", "revoked", "missing"]
    assert rows[0]["machines"] == ["10.0.0.1"]
    states = [judge_site("a", {}, 1.0, revoked, _double_of(said))["state"] for revoked in ((), ("a",))]
    assert states == ["on two machines", "revoked"], "no sign of life comes any more"


def test_a_site_says_both_versions_and_another_version_of_ours_says_one():
    versions = {"a": {"version": "2.9.0", "fedbrats": "0.1.0"}, "b": {"version": "2.9.0"}, "c": {"error": "x"}, "d": 5}
    assert [tuple(_versions_of(versions, name).values()) for name in "abcde"] == [
        ("2.9.0", "0.1.0"), ("2.9.0", None), (None, None), (None, None), (None, None),
    ]  # fmt: skip
    assert _versions_of({"a": {"version": "\x1b[2J" * 99}}, "a")["flare"].isprintable()


def test_a_site_whose_version_does_not_work_with_the_servers_is_told():
    versions = {
        "server": {"fedbrats": {"version": "0.3.0", "oldest": "0.2.0"}},
        "a": {"fedbrats": {"version": "0.1.0", "oldest": "0.1.0"}},
        "b": {"fedbrats": {"version": "0.2.5", "oldest": "0.1.0"}},
        "c": {},
    }
    told = [_apart(versions, name) for name in "abcd"]
    assert told == ["fedbrats 0.3.0 works with 0.2.0 or later, and not with 0.1.0", None, None, None]


def test_the_server_logs_the_version_of_each_site_that_connects_once(caplog):
    answers = {
        "1": Message("reply", json.dumps({"version": "2.9.0", "fedbrats": this_version().document()})),
        "2": Message("reply", json.dumps({"fedbrats": {"version": "99.0", "oldest": "99.0"}})),
        "3": Message("reply", json.dumps({"version": "2.9.0"})),
        "4": Message("reply", "[" * 9999),
    }
    asked = []

    def ask(requests):
        asked.append(sorted(requests))
        return {token: answers[token] for token in requests if token in answers}

    look = SiteVersions()
    names = {"1": "one", "2": "two", "3": "three", "4": "four", "5": "five"}
    with caplog.at_level("INFO"):
        for _ in range(5):
            look.look(names, ask)
    said = {record.getMessage().partition("site=")[2].split()[0]: record for record in caplog.records}
    assert sorted(said) == sorted(names.values())
    assert len(caplog.records) == 5
    assert said["one"].levelname == "INFO"
    assert "99.0 works with 99.0 or later" in said["two"].getMessage()
    assert all("does not say which version" in said[name].getMessage() for name in ("three", "four", "five"))
    assert asked == [sorted(names), ["5"], ["5"]]


def test_what_a_site_answers_when_it_is_asked_for_its_version():
    version_report.tell_package()
    version_report.tell_package()  # a process may build several guards
    said = json.loads(ReportVersionProcessor().process(Message("sys.report_version", ""), None).body)
    assert _versions_of({"a": said}, "a") == {"flare": nvflare.__version__, "fedbrats": fedbrats.__version__}
    sent = []
    conn = SimpleNamespace(append_dict=lambda versions, meta: sent.append(versions), app_ctx=None)
    SystemCommandModule().report_version(conn, ["report_version", "server"])
    assert _versions_of(sent[0], "server") == {"flare": nvflare.__version__, "fedbrats": fedbrats.__version__}


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
