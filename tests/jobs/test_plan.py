"""What is refused before anything starts."""

import pytest

from fedbrats.errors import ConfigurationError
from fedbrats.jobs.build import (
    build_job,
)
from fedbrats.jobs.plan import (
    check_built,
    check_settings,
    read_plan,
)


def test_a_job_without_one_federated_round_is_refused():
    with pytest.raises(ConfigurationError, match="no round would be federated"):
        check_settings("fine_tuned", {"num_rounds": 3})
    assert read_plan("fine_tuned", {"num_rounds": 4}).personal == "all"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"evaluation_timeout_s": 0}, "evaluation_timeout_s"),
        ({"component_share": 2.0}, "component_share"),
        ({"network": "nothing"}, "nothing"),
        ({"spacing_mm": 100.0}, "spacing_mm"),
        ({"num_rounds": 3}, "num_rounds belongs to the jobs best_of, contribution, "),
    ],
)
def test_settings_of_a_job_that_evaluates_are_judged_without_its_models(settings, sentence):
    check_settings("evaluate", {"final_flips": False, "poll_interval_s": 0.5})
    with pytest.raises(ConfigurationError, match=sentence):
        check_settings("evaluate", settings)


def test_a_job_that_trains_nothing_is_no_plan():
    with pytest.raises(ConfigurationError, match="evaluate evaluates given models and trains nothing"):
        read_plan("evaluate", {})


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"personal": "headd"}, "headd"),
        ({"compression": "zip"}, "none, float16, int8"),
        ({"memory_mb": -1}, "memory_mb"),
    ],
)
def test_a_personal_set_or_a_compression_that_there_is_not_is_refused(settings, sentence):
    for job in ("fedavg", "fine_tuned"):
        with pytest.raises(ConfigurationError, match=sentence):
            check_settings(job, settings)


def test_a_job_that_evaluates_can_be_set_and_is_held_to_the_limits_too():
    check_settings("evaluate", {"evaluation_timeout_s": 60})
    with pytest.raises(ConfigurationError, match="evaluation_timeout_s is 0"):
        check_settings("evaluate", {"evaluation_timeout_s": 0})


def test_a_built_job_is_checked_with_the_variables_that_it_has(tmp_path):
    check_built(build_job("fine_tuned", tmp_path, {"num_rounds": 4}))
    with pytest.raises(ConfigurationError, match="no round would be federated"):
        check_built(build_job("fine_tuned", tmp_path, {"num_rounds": 3}))
