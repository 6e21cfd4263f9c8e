"""When a round counts, and how long it waits."""

import pytest

from fedbrats.errors import ConfigurationError
from fedbrats.federation.participation import Participation, case_share

RULE = Participation(min_clients=2, min_case_share=0.5, first_deadline_s=100, deadline_factor=3, deadline_floor_s=10)
KNOWN = {"big": 60, "middle": 30, "small": 10}


@pytest.mark.parametrize(
    ("counted", "lack"),
    [
        ({}, "0 of at least 2 sites"),
        ({"big": 60}, "1 of at least 2 sites"),
        ({"middle": 30, "small": 10}, "40% of the cases"),
        ({"big": 60, "small": 10}, None),
        (KNOWN, None),
    ],
)
def test_a_round_needs_sites_and_cases(counted, lack):
    found = RULE.shortfall(counted, KNOWN)
    assert (found is None) if lack is None else (lack in found)


def test_a_site_that_nobody_registered_counts_with_what_it_holds():
    assert case_share({"new": 10}, {}) == 1.0
    assert case_share({}, {}) == 0.0
    assert case_share({"new": 50}, {"big": 50}) == 0.5


def test_a_site_that_trains_on_fewer_cases_than_it_registered_is_there_all_the_same():
    assert case_share({"big": 6, "small": 1}, {"big": 60, "small": 10}) == 1.0
    assert case_share({"big": 6}, {"big": 60, "small": 20}) == 0.75


def test_the_deadline_follows_the_slowest_measured_site():
    assert RULE.deadline_s(["a", "b"], {"a": 5.0, "b": 20.0}) == 60.0
    assert (
        RULE.deadline_s(["a"], {"a": 1.0, "gone": 1000.0}) == 10.0
    )  # the floor; a site that is not asked says nothing


def test_no_site_draws_out_the_deadline_round_by_round():
    assert RULE.deadline_s(["a", "slow"], {"a": 5.0, "slow": 99.0}) == 100


def test_a_site_that_nobody_has_measured_gets_the_first_deadline():
    assert RULE.deadline_s(["a", "new"], {"a": 1.0}) == 100
    assert RULE.deadline_s([], {"a": 1.0}) == 100


def test_the_pause_before_failed_sites_are_asked_again_doubles_up_to_the_floor_of_deadlines():
    rule = Participation(deadline_floor_s=300, attempts=1000)
    assert [rule.pause_s(attempt) for attempt in range(1, 8)] == [10, 20, 40, 80, 160, 300, 300]
    assert rule.pause_s(rule.attempts) == 300
    assert Participation(deadline_floor_s=0).pause_s(1) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("min_clients", 0), ("min_case_share", 1.1), ("deadline_factor", 0.5), ("attempts", 0), ("first_deadline_s", -1)],
)
def test_a_rule_that_cannot_be_is_refused_with_its_name(name, value):
    with pytest.raises(ConfigurationError, match=name):
        Participation(**{name: value})
