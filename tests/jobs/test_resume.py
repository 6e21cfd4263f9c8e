"""The jobs that a job goes on from."""

import pytest

from fedbrats.errors import ConfigurationError
from fedbrats.jobs.resume import check_job_ids

JOB = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"


@pytest.mark.parametrize("ids", [["../../etc"], ["job"], "job", [JOB, 3], {"a": 1}, [JOB.upper()]])
def test_a_job_can_only_name_jobs(ids):
    with pytest.raises(ConfigurationError, match="list of job ids"):
        check_job_ids(ids)


def test_job_ids_are_taken_newest_first():
    assert check_job_ids([JOB]) == (JOB,)
    assert check_job_ids(None) == ()
