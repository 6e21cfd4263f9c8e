"""A site that reports that it cannot run a job ends its own part, and the last one the job."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from nvflare.apis.client import Client
from nvflare.apis.fl_constant import RunProcessKey
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey, ReturnCode
from nvflare.fuel.f3.message import Message
from nvflare.private.defs import CellMessageHeaderKeys, JobFailureMsgKey
from nvflare.private.fed.server.fed_server import FederatedServer
from nvflare.private.fed.server.server_engine import ServerEngine

from fedbrats.flare.kit.job_failures import FAILURES, JobFailures
from fedbrats.flare.protocol import STANDING
from tests.security.attacks import attack

JOB = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"
SITES = ("north", "south", "east")


class Runner:
    """What FLARE's server asks of its job runner, with one job that begins at three sites."""

    def __init__(self, min_sites=1):
        self.running_jobs = {JOB: SimpleNamespace(job_id=JOB, min_sites=min_sites)}
        self.pending, self.ended = set(SITES), []

    def is_client_outcome_pending(self, job_id, site):
        return job_id == JOB and site in self.pending

    def resolve_client_outcome(self, job_id, site):
        self.pending.discard(site)

    def fail_run(self, job_id, code, fl_ctx):
        self.ended.append(code)

    def stop_run(self, job_id, fl_ctx):
        self.ended.append("stopped")


@pytest.fixture
def federation():
    """FLARE's own server, its engine replaced: (report of a site, runner, failures)."""

    def make(min_sites=1):
        runner, failures = Runner(min_sites), JobFailures()
        failures.judge_reports()
        failures.judge_reports()  # a process may build several of them
        clients = {f"token of {site}": Client(site, f"token of {site}") for site in SITES}
        server = object.__new__(FederatedServer)
        server.logger = SimpleNamespace(**dict.fromkeys(("info", "warning", "error"), lambda text: None))
        server.client_manager = SimpleNamespace(clients=clients, is_from_authorized_client=clients.__contains__)
        server.engine = SimpleNamespace(
            job_runner=runner, run_processes={JOB: {RunProcessKey.PARTICIPANTS: clients}}, new_context=nullcontext
        )

        def report(site, code, **more):
            headers = {CellMessageHeaderKeys.TOKEN: f"token of {site}", MessageHeaderKey.ORIGIN: site}
            payload = {JobFailureMsgKey.JOB_ID: JOB, JobFailureMsgKey.CODE: code, **more}
            return server.process_job_failure(Message(headers, payload)).get_header(MessageHeaderKey.RETURN_CODE)

        return report, runner, failures

    return make


@attack(
    "end every job as it begins, by the report that its process of the job has failed",
    who="a hospital; also an honest one with a broken site file",
    happens="ends that hospital's part; the job goes on while it has the sites that it needs",
    says="a site cannot run a job, which goes on: ",
)
@pytest.mark.parametrize("code", FAILURES)
def test_one_site_ends_its_own_part_alone(federation, code, caplog):
    report, runner, _ = federation()
    for _ in range(3):
        assert report("east", code, **{JobFailureMsgKey.REASON: "a\nb"}) == ReturnCode.OK
    assert runner.ended == []
    assert runner.pending == {"north", "south"}
    assert f"a site cannot run a job, which goes on: a\\nb; job={JOB} site=east" in caplog.text


def test_the_last_that_the_job_needs_ends_it(federation):
    report, runner, _ = federation(min_sites=2)
    report("east", FAILURES[0])
    assert runner.ended == []
    report("south", FAILURES[0])
    assert len(runner.ended) == 1


def test_a_site_that_runs_the_job_after_all_counts_again(federation):
    report, runner, failures = federation(min_sites=2)
    report("east", FAILURES[0])
    failures.runs(JOB, "east")
    report("south", FAILURES[0])
    assert runner.ended == []


def test_what_is_no_failure_is_flares(federation):
    report, runner, _ = federation()
    assert report("east", None) == ReturnCode.OK
    assert report("stranger", FAILURES[0]) == ReturnCode.UNAUTHENTICATED
    assert report("east", ["a list"]) == ReturnCode.OK
    assert runner.ended == []


def test_the_standing_of_a_job_says_who_does_not_run_it_and_counts_the_others(federation, monkeypatch):
    report, _, failures = federation()
    monkeypatch.setattr(ServerEngine, "show_stats", lambda engine, job_id: stats)
    failures.tell_standing()
    failures.tell_standing()  # a process may build several of them
    stats = {STANDING: {"rounds_done": 0, "sites": 3}}
    clients = {site: Client(site, site) for site in SITES}
    engine = object.__new__(ServerEngine)
    engine.run_processes = {JOB: {RunProcessKey.PARTICIPANTS: clients}}
    monkeypatch.setattr(ServerEngine, "get_clients", lambda engine: [clients["north"], clients["east"]])
    assert engine.show_stats(JOB)[STANDING] == {"rounds_done": 0, "sites": 2, "objections": {}}
    report("east", FAILURES[0], **{JobFailureMsgKey.REASON: "a\nb"})
    assert engine.show_stats(JOB)[STANDING] == {"rounds_done": 0, "sites": 1, "objections": {"east": "a\\nb"}}
    assert failures.objections(engine) == {JOB: {"east": "a\\nb"}}
    failures.runs(JOB, "east")
    assert engine.show_stats(JOB)[STANDING]["sites"] == 2
    assert failures.objections(engine) == {}
    stats = {}
    assert engine.show_stats(JOB) == {}, "the job's process does not answer yet"
