"""`fedbrats job show|follow|logs|abort` and `job list --consortium`, with a session that answers as FLARE's does."""

from __future__ import annotations

import contextlib
import json

import pytest
from nvflare.fuel.flare_api.api_spec import AuthorizationError
from nvflare.fuel.sec.authz import AuthzContext, Person
from nvflare.security.security import FLAuthorizer

from fedbrats.admin.operate import jobs
from fedbrats.admin.run import remote
from fedbrats.cli.main import main
from fedbrats.cli.studies.following import round_line
from fedbrats.flare.kit.policy import AUTHORIZATION

JOB = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"
LOG = "\n".join(
    ["2026-01-01 10:00:00,000 - Recorder - INFO - begins"]
    + ["2026-01-01 10:00:01,000 - Quorum - ERROR - [identity=server]: too few sites"] * 2
    + ["    \x1b[2J a traceback"]
)


class Server:
    """A session; `statuses` are what it says of the job, one after the other, the last for ever."""

    def __init__(self, *statuses, may_read=True):
        self.statuses, self.may_read, self.aborted = list(statuses), may_read, []
        self.standings = iter(())

    def get_job_meta(self, job_id):
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return {"name": "fedavg", "job_id": job_id, "submitter_name": "lead\x1b[2J", "status": status}

    def list_jobs(self, detailed=False):
        key = "submitter_name" if detailed else "job_name"
        return [{"job_id": JOB, "status": self.statuses[-1], key: "me"}]

    def get_job_logs(self, job_id, target):
        if not self.may_read:
            raise AuthorizationError("user not authorized")
        return {"logs": {target: LOG}}

    def show_stats(self, job_id, target):
        return {"server": {remote.STANDING: next(self.standings)}}

    def abort_job(self, job_id):
        self.aborted.append(job_id)


@pytest.fixture
def ask(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(remote, "pause_between_questions", lambda *_: 0.0)
    monkeypatch.setattr(jobs, "LOOKS_S", 0.0)

    def asked(server, *words):
        monkeypatch.setattr("fedbrats.admin.run.sessions.person_session", lambda _: contextlib.nullcontext(server))
        status = main(["job", *words, "--kit", str(tmp_path)])
        return status, capsys.readouterr()

    return asked


def test_what_is_shown_of_a_job_that_ended_badly(ask):
    status, said = ask(Server("FINISHED:ABNORMAL"), "show", JOB, "--json")
    found = json.loads(said.out)
    assert status == 0
    assert (found["facts"]["status"], found["facts"]["submitter"]) == ("FINISHED:ABNORMAL", "lead\\x1b[2J")
    assert (found["standing"], found["reasons"]) == (None, ["too few sites"])
    assert "too few sites" in ask(Server("FINISHED:ABNORMAL"), "show", JOB)[1].out
    assert "too few" not in ask(Server("FINISHED:ABNORMAL", may_read=False), "show", JOB)[1].out
    assert "too few" not in ask(Server("FINISHED:COMPLETED"), "show", JOB)[1].out


@pytest.mark.parametrize("action", ["show", "follow", "logs", "abort"])
def test_what_is_no_id_is_told_before_anybody_logs_in(ask, action):
    status, said = ask(None, action, "fedavg")
    assert status == 1
    assert "'fedavg' is no job id" in said.err


def test_a_job_is_followed_with_a_line_a_round(ask):
    server = Server("RUNNING", "RUNNING", "RUNNING", "RUNNING", "FINISHED:ABNORMAL")
    base = {"rounds": 3, "sites": 2}
    server.standings = iter(
        [
            {**base, "rounds_done": 0},
            {**base, "rounds_done": 0, "answered": ["a"], "sites": 1, "objections": {"b": "its list"}},
            {**base, "rounds_done": 1, "round_s": 4.0, "dice": 0.5, "objections": {"b": "its list"}},
        ]
    )
    status, said = ask(server, "follow", JOB)
    lines = said.err.splitlines()
    assert status == 1
    assert lines[0] == "fedavg: round 1/3 runs at 2 sites"
    assert lines[1] == "fedavg: b does not run the job: its list"
    assert lines[2] == "fedavg: 1/3 rounds done, the last in 4.0 s, Dice 0.500, not at b"
    assert lines[3:5] == ["fedavg: FINISHED:ABNORMAL", "fedavg: too few sites"]
    assert "to go on after round 1: fedbrats submit --resume" in lines[-1]
    assert ask(Server("FINISHED:COMPLETED"), "follow", JOB)[0] == 0


def test_a_line_of_a_round_says_what_there_is():
    assert round_line({"rounds_done": 0, "rounds": 0, "sites": 5}) == "5 sites evaluate"
    assert round_line({"rounds_done": 2, "rounds": 2, "refusals": {"a": 2}}) == (
        "2/2 rounds done, 2 answers refused so far"
    )


def test_the_log_moves_no_terminal(ask):
    status, said = ask(Server("RUNNING"), "logs", JOB, "--lines", "2")
    assert status == 0
    assert said.out.count("\n") == 2
    assert "\x1b" not in said.out
    assert "\\x1b[2J a traceback" in said.out


def test_a_running_job_is_aborted_and_an_ended_one_is_not(ask):
    server = Server("RUNNING", "RUNNING", "FINISHED:ABORTED")
    assert ask(server, "abort", JOB)[1].out.strip() == f"{JOB}: FINISHED:ABORTED"
    assert server.aborted == [JOB]
    over = Server("FINISHED:COMPLETED")
    status, said = ask(over, "abort", JOB)
    assert (status, over.aborted) == (1, [])
    assert f"job {JOB} has ended already: FINISHED:COMPLETED" in said.err


def test_all_jobs_of_a_consortium_are_listed(ask):
    found = json.loads(ask(Server("SUBMITTED"), "list", "--consortium", "--json")[1].out)["jobs"]
    assert [(job["job_id"], job["job_name"], job["submitter"]) for job in found] == [(JOB, "me", "me")]
    assert ask(None, "list")[0] == 2, "a kit without --consortium is a slip"


# role, and whether it may read the log of its own job, of another's of its organisation, of a stranger's; and abort it
RIGHTS = {
    "project_admin": ((True, True, True), (True, True, True)),
    "lead": ((True, False, False), (True, False, False)),
    "org_admin": ((False, False, False), (True, True, False)),
    "member": ((False, False, False), (False, False, False)),
}


@pytest.mark.parametrize("role", RIGHTS)
def test_who_may_do_what_with_a_job(role):
    authorizer = FLAuthorizer("university", AUTHORIZATION)
    me = Person("me", "north", role)
    submitters = (me, Person("colleague", "north", "lead"), Person("stranger", "east", "lead"))
    for right, allowed in zip(("get_job_log", "abort_job"), RIGHTS[role], strict=True):
        found = [
            authorizer.authorize(AuthzContext(user=me, submitter=submitter, right=right))[0] for submitter in submitters
        ]
        assert tuple(found) == allowed, right
    for right in ("get_job_meta", "list_jobs", "report_version"):
        assert authorizer.authorize(AuthzContext(user=me, submitter=submitters[2], right=right))[0], right
