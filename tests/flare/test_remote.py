"""What FLARE says of a job in a federation elsewhere, read."""

from datetime import timedelta

import pytest

from fedbrats.flare.remote import seconds_of


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
