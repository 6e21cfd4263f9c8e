"""What private steps cost: against a second accountant, by the quick bound, and solved for the noise."""

import json
from pathlib import Path

import pytest

from fedbrats.errors import ConfigurationError
from fedbrats.privacy.accounting import PrivateSteps, epsilon, epsilon_bound, solve_noise

GRID = json.loads((Path(__file__).parents[2] / "benchmarks" / "results" / "accountants.json").read_text())["rows"]


def test_two_accountants_agree_over_a_grid_and_renyi_is_above_both():
    """`pld` comes from dp-accounting's PLD, which needs an environment of its own (benchmarks/accountants.py)."""
    assert len(GRID) == 20
    for row in GRID:
        assert row["prv"] == pytest.approx(row["pld"], rel=0.01)
        assert row["rdp"] > row["pld"]
        assert row["rdp"] >= row["prv"]


def test_the_grid_is_what_the_code_gives():
    for row in GRID[:2]:
        cost = [PrivateSteps(row["noise"], row["rate"], row["steps"])]
        assert epsilon(cost, row["delta"]) == pytest.approx(row["prv"], rel=1e-3)
        assert epsilon_bound(cost, row["delta"]) == pytest.approx(row["rdp"], rel=1e-3)


def test_jobs_on_the_same_patients_cost_more_than_one_and_less_than_their_sum():
    one, other = PrivateSteps(6.0, 1.0, 20), PrivateSteps(8.0, 1.0, 40)
    both = epsilon([one, other], 1e-3)
    assert max(epsilon([one], 1e-3), epsilon([other], 1e-3)) < both < epsilon([one], 1e-3) + epsilon([other], 1e-3)
    twice = [PrivateSteps(6.0, 1.0, 10), PrivateSteps(6.0, 1.0, 10)]
    assert epsilon_bound(twice, 1e-3) == epsilon_bound([one], 1e-3)
    assert epsilon([], 1e-3) == 0.0


def test_the_noise_of_an_epsilon_costs_that_epsilon():
    noise = solve_noise(8.0, 1e-3, 1.0, 50)
    assert 7.8 < epsilon([PrivateSteps(noise, 1.0, 50)], 1e-3) <= 8.0


def test_an_epsilon_that_no_noise_gives_is_refused():
    with pytest.raises(ConfigurationError, match="no noise up to 1000"):
        solve_noise(1e-4, 1e-5, 1.0, 1_000_000)


def test_where_the_exact_number_takes_minutes_the_bound_stands():
    cost = [PrivateSteps(0.05, 1.0, 1000)]
    assert epsilon(cost, 1e-3) == epsilon_bound(cost, 1e-3) > 1000
