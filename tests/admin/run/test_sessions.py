"""Waiting for a job: patient with a server that is busy, and rare in its questions."""

import contextlib
import json
import shutil
import socket

import pytest
from nvflare.fuel.flare_api.api_spec import AuthenticationError, NoConnection

from fedbrats.admin.run import sessions
from fedbrats.admin.run.sessions import job_status, pause_between_questions, person_session
from fedbrats.errors import FedbratsError

LEAD = "lead@university.example"


class BusyServer:
    """A session whose server answers only after so many questions."""

    def __init__(self, deaf: int):
        self._deaf = deaf

    def get_job_meta(self, job_id: str) -> dict[str, str]:
        self._deaf -= 1
        if self._deaf >= 0:
            raise NoConnection("cannot connect to server")
        return {"status": "RUNNING"}


def test_a_busy_server_is_asked_again(monkeypatch):
    monkeypatch.setattr(sessions, "RETRY_S", 0.0)
    assert job_status(BusyServer(deaf=3), "job") == "RUNNING"


def test_a_server_that_stays_silent_ends_in_one_sentence(monkeypatch):
    monkeypatch.setattr(sessions, "RETRY_S", 0.01)
    with pytest.raises(FedbratsError, match="has not answered for 0 s, so nothing is known of job job-7"):
        job_status(BusyServer(deaf=10**6), "job-7", patience_s=0.05)


def test_questions_grow_rarer_and_are_never_half_a_minute_apart():
    assert [pause_between_questions(waited, 0.5) for waited in (0, 10, 1000, 10**6)] == [0.5, 0.5, 10, 30]


@pytest.fixture
def lead(kits, tmp_path):
    """(a kit of a person, whose server's port listens while the test holds the socket)."""
    kit = shutil.copytree(kits / LEAD, tmp_path / LEAD)
    path = kit / "startup" / "fed_admin.json"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        document = json.loads(path.read_text())
        document["admin"].update(host="127.0.0.1", port=listening.getsockname()[1])
        path.write_text(json.dumps(document))
        yield kit, listening


def test_a_server_that_is_down_is_no_refused_login(lead):
    kit, listening = lead
    listening.close()
    with (
        pytest.raises(FedbratsError, match=r"the server 127.0.0.1:\d+ cannot be reached: .*doctor") as raised,
        person_session(kit),
    ):
        pass
    assert "log in" not in str(raised.value)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [("user not authenticated: Client 'x' is disabled", "shuts out this name"), ("wrong root", "could not log in")],
)
def test_a_login_or_a_session_that_is_refused_says_why(lead, monkeypatch, said, sentence):
    @contextlib.contextmanager
    def refuse(kit, timeout_s):
        raise AuthenticationError(said)
        yield

    monkeypatch.setattr(sessions, "admin_session", refuse)
    with pytest.raises(FedbratsError, match=sentence), person_session(lead[0]):
        pass
