"""A site that answers anything does not keep the others from being given their jobs again."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nvflare.apis.client import Client
from nvflare.apis.fl_context import FLContext
from nvflare.private.admin_defs import Message

from fedbrats.flare.kit.rejoin import LONGEST_REPLY, MOST_STARTS, PATIENCE, RUNNING, Rejoin, read_running_jobs
from tests.generated.test_documents import ANYTHING
from tests.security.attacks import attack

JOB = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"


def says(*jobs: str) -> str:
    """A site's answer that it runs these jobs."""
    return json.dumps({"running_jobs": [{"job_id": job, "status": RUNNING} for job in jobs]})


class Engine:
    """What Rejoin asks of the server's engine, with the answers of the sites given; starts nothing."""

    def __init__(self, **answers):
        self.answers = answers
        self.resolved: list[str] = []
        self.server = SimpleNamespace(admin_server=self)
        job = SimpleNamespace(job_id=JOB, run_aborted=False)
        self.job_runner = SimpleNamespace(running_jobs={JOB: job}, resolve_client_outcome=self.resolve)
        self.run_processes = {JOB: {}}

    def get_clients(self):
        return [Client(site, f"token of {site}") for site in self.answers]

    def send_requests_and_get_reply_dict(self, requests, timeout_secs):
        said = {f"token of {site}": answer for site, answer in self.answers.items()}
        return {token: None if said[token] is None else Message("reply", said[token]) for token in requests}

    def resolve(self, job_id, site):
        self.resolved.append(site)


@pytest.fixture
def rejoin(monkeypatch):
    """A Rejoin that notes whom it would have given the job."""

    def start(self, job, site, engine):
        self.started.append(site)
        if site == "refuses":
            return "it could not be deployed, NVFLARE_ERROR: its list"
        if site == "raises":
            raise RuntimeError("of this site alone")
        return "started again"

    monkeypatch.setattr(Rejoin, "_start", start)
    found = Rejoin()
    found.started = []
    return found


BAD = ["[" * 100_000, "{", "[]", "3", "null", '{"running_jobs": 3}', '{"running_jobs": [3]}', b"{}", 3, "x" * 10**6]
BAD += ['{"running_jobs": [{"job_id": ["a"], "status": 1}]}', '{"running_jobs": [{"job_id": "a", "status": 1}]}', {}]


@attack(
    "answer the question which jobs run with anything but a list of them",
    who="a hospital",
    happens="that hospital counts as one that does not answer; the others are given their jobs again",
    says="what a site says of its running jobs cannot be read; site=",
)
@pytest.mark.parametrize("said", BAD)
def test_a_malformed_reply_is_said_once_and_the_others_are_served(rejoin, caplog, said):
    engine = Engine(bad=said, lost=says(), fine=says(JOB))
    for _ in range(PATIENCE):
        rejoin.look_after_all(engine)
    assert rejoin.started == ["lost"]
    assert engine.resolved == ["fine"] * PATIENCE
    assert caplog.text.count("site=bad") == 1
    assert "Traceback" not in caplog.text


def test_a_site_that_can_be_read_again_is_served_again(rejoin, caplog):
    engine = Engine(bad="{")
    rejoin.look_after_all(engine)
    engine.answers["bad"] = says()
    for _ in range(PATIENCE):
        rejoin.look_after_all(engine)
    assert rejoin.started == ["bad"]
    engine.answers["bad"] = "{"
    rejoin.look_after_all(engine)
    assert caplog.text.count("cannot be read") == 2


def test_a_site_that_cannot_be_started_does_not_stop_the_others(rejoin, caplog):
    engine = Engine(raises=says(), lost=says())
    for _ in range(PATIENCE):
        rejoin.look_after_all(engine)
    assert rejoin.started == ["raises", "lost"]
    assert "of this site alone" in caplog.text


def test_what_fails_of_a_look_keeps_nothing_else_from_being_done(rejoin, monkeypatch, caplog):
    done = []

    def fails(*_):
        raise RuntimeError("versions")

    monkeypatch.setattr(rejoin._versions, "look", fails)
    monkeypatch.setattr("fedbrats.flare.kit.rejoin.tell_sites", lambda *_: done.append("told"))
    monkeypatch.setattr(rejoin._sites_file, "keep", lambda *said: done.append(said[1]))
    rejoin.look(Engine())
    assert done == [{}, "told"]
    assert "RuntimeError: versions" in caplog.text


def test_why_a_site_refuses_a_job_is_kept_until_it_runs_it(rejoin):
    engine = Engine(refuses=says(), lost=says())
    for _ in range(PATIENCE):
        rejoin.look_after_all(engine)
    assert rejoin._failures.objections(engine) == {JOB: {"refuses": "it could not be deployed, its list"}}
    engine.answers["refuses"] = says(JOB)
    rejoin.look_after_all(engine)
    assert rejoin._failures.objections(engine) == {}


def test_a_site_that_does_not_answer_is_left_alone(rejoin):
    engine = Engine(silent=None)
    for _ in range(2 * PATIENCE):
        rejoin.look_after_all(engine)
    assert rejoin.started == []


def test_a_site_that_loses_a_job_again_and_again_is_left_alone_aloud(rejoin, caplog):
    engine = Engine(lost=says())
    for _ in range(PATIENCE * (MOST_STARTS + 2)):
        rejoin.look_after_all(engine)
    assert rejoin.started == ["lost"] * MOST_STARTS
    assert "is not given it again" in caplog.text


def test_a_job_that_cannot_be_put_away_does_not_keep_the_others_from_it(caplog):
    """After a crash of the server: a job that stayed RUNNING could not be resumed."""
    ended = []

    def save(fl_ctx, finished, job_id):
        if job_id == "a job for which the disk is too full":
            raise OSError(28, "No space left on device")

    manager = SimpleNamespace(
        get_jobs_by_status=lambda *_: [
            SimpleNamespace(job_id="a job for which the disk is too full"),
            SimpleNamespace(job_id=JOB),
        ],
        set_status=lambda job_id, status, fl_ctx: ended.append(job_id),
    )
    engine = SimpleNamespace(get_component=lambda _: manager, job_runner=SimpleNamespace(_save_workspace=save))
    Rejoin()._put_away(engine, FLContext())
    assert ended == [JOB]
    assert "No space left on device" in caplog.text
    assert "start the server again" in caplog.text


@given(ANYTHING | st.text() | st.fixed_dictionaries({"running_jobs": ANYTHING}).map(json.dumps))
def test_what_is_read_is_texts(said):
    try:
        found = read_running_jobs(said)
    except (ValueError, TypeError, LookupError, RecursionError):
        return
    assert all(isinstance(text, str) for entry in found.items() for text in entry)


def test_a_long_reply_is_not_read():
    with pytest.raises(ValueError, match="long"):
        read_running_jobs(says(*["job"] * LONGEST_REPLY))
