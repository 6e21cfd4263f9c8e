"""The lower bound of epsilon from canaries: what right guesses refute, and what they do not."""

import importlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def canaries(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    return importlib.import_module("canaries")


def test_guesses_that_are_all_right_refute_what_makes_them_unlikely(canaries):
    each = 0.05 ** (1 / 40)  # forty right ones of forty are this likely at the bound
    assert canaries.least_epsilon(40, 40, 40, 0.0) == pytest.approx(math.log(each / (1 - each)), abs=1e-6)
    assert canaries.least_epsilon(40, 40, 40, 1e-3) < canaries.least_epsilon(40, 40, 40, 0.0)


def test_half_of_the_guesses_right_refute_nothing(canaries):
    assert canaries.least_epsilon(80, 40, 20, 0.0) == 0.0
    assert canaries.least_epsilon(80, 40, 0, 1e-3) == 0.0


def test_randomised_response_is_hardly_ever_given_more_than_its_epsilon(canaries):
    """Coins that are told with epsilon 1, two hundred times: the bound holds in about 95 % of them."""
    rng, above = np.random.default_rng(0), 0
    for _ in range(200):
        right = int(rng.binomial(40, 1 / (1 + math.exp(-1))))
        above += canaries.least_epsilon(40, 40, right, 0.0) > 1
    assert above <= 20


def test_the_exposure_of_a_canary_is_that_of_its_rank(canaries):
    left_out = np.arange(15.0)
    assert canaries.mean_exposure(np.array([20.0]), left_out) == 4.0
    assert canaries.mean_exposure(np.array([-1.0]), left_out) == 0.0
    assert canaries.right_guesses(np.array([3.0, 2.0, 1.0, 0.0]), np.array([True, True, False, False]), 4) == 4


def test_no_lower_bound_of_the_results_is_above_the_ledgers(canaries):
    runs = json.loads((ROOT / "experiments" / "results" / "canaries.json").read_text())["runs"]
    assert any(run.get("epsilon") for run in runs)
    assert all(run["epsilon_at_least"] <= run["epsilon"] for run in runs if run.get("epsilon"))
