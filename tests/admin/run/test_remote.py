"""What FLARE says of a job in a federation elsewhere, read."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from fedbrats.admin.run.remote import fetch, resumed_job, seconds_of
from fedbrats.errors import ConfigurationError, FedbratsError
from fedbrats.jobs.build import build_job, read_variables

JOB = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"


@pytest.mark.parametrize(
    "took",
    [
        timedelta(seconds=33.931212),
        timedelta(seconds=33),
        timedelta(hours=23, minutes=59, seconds=59.5),
        timedelta(days=1, hours=2, minutes=3, seconds=4.5),
        timedelta(days=12),
    ],
)
def test_a_duration_is_a_timedelta_as_text(took):
    assert seconds_of(str(took)) == pytest.approx(took.total_seconds())


@pytest.mark.parametrize("said", [None, "", "N/A", "-1 day, 23:59:59"])
def test_a_job_that_never_ran_took_no_time(said):
    assert seconds_of(said) == 0


class Session:
    """A server that holds one job, which has ended."""

    def __init__(self, job_dir):
        self.job_dir = job_dir

    def get_job_meta(self, job_id):
        return {"status": "FINISHED:EXECUTION_EXCEPTION"}

    def download_job_result(self, job_id, folder):
        shutil.copytree(self.job_dir, Path(folder) / job_id / "job" / self.job_dir.name)
        return str(Path(folder) / job_id)


def test_a_resumed_job_has_its_own_variables_and_those_that_are_set(tmp_path):
    session = Session(build_job("fedavg", tmp_path / "built", {"seed": 7}))
    variables = read_variables(resumed_job(session, JOB, tmp_path / "resumed", {"num_rounds": 30}))
    assert (variables["seed"], variables["num_rounds"], variables["resume"]) == (7, 30, [JOB])


@pytest.mark.parametrize("settings", [{"memory_mb": -1}, {"personal": "headd"}, {"network": "huge"}])
def test_what_a_resumed_job_cannot_be_run_with_is_refused_before_it_is_submitted(tmp_path, settings):
    session = Session(build_job("fedavg", tmp_path / "built"))
    (value,) = settings.values()
    with pytest.raises(ConfigurationError, match=str(value)):
        resumed_job(session, JOB, tmp_path / "resumed", settings)


def test_a_resumed_job_takes_no_other_start(tmp_path):
    """It goes on from its own models: another start would be left aside, and nobody would be told."""
    session = Session(build_job("fedavg", tmp_path / "built"))
    with pytest.raises(ConfigurationError, match=r"start .* goes on from its own models"):
        resumed_job(session, JOB, tmp_path / "resumed", {"start": "none"})


@pytest.mark.parametrize(
    "ask", [lambda *words: resumed_job(*words, {}), lambda session, job, out: fetch(session, job, out)]
)
def test_a_job_whose_folder_the_server_lost_is_told(tmp_path, ask):
    session = Session(build_job("fedavg", tmp_path / "built"))
    (session.job_dir / "meta.json").unlink()
    with pytest.raises(FedbratsError, match=f"job {JOB} holds no job folder"):
        ask(session, JOB, tmp_path / "out")
