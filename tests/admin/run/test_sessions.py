"""Waiting for a job: patient with a server that is busy, and rare in its questions."""

import pytest
from nvflare.fuel.flare_api.api_spec import NoConnection

from fedbrats.admin.run import sessions
from fedbrats.admin.run.sessions import job_status, pause_between_questions
from fedbrats.errors import FedbratsError


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
