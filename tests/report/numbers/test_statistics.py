"""Intervals cover as they promise, paired tests see what unpaired ones miss, and aggregates name the worst site."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedbrats.report.numbers.statistics import (
    RESAMPLES,
    Interval,
    aggregate,
    bootstrap_interval,
    common_values,
    hierarchical_difference,
    hierarchical_interval,
    holm,
    mean_by_patient,
    paired_difference,
)

VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


@settings(max_examples=20, deadline=None)
@given(values=VALUES)
def test_the_interval_holds_the_mean_and_stays_among_the_values(values):
    interval = bootstrap_interval(values, seed=0)
    assert interval.patients == len(values)
    assert min(values) - 1e-9 <= interval.low <= interval.mean + 1e-9
    assert interval.mean - 1e-9 <= interval.high <= max(values) + 1e-9
    assert bootstrap_interval(values, seed=0) == interval


def test_the_interval_agrees_with_normal_theory_on_many_patients():
    values = np.random.default_rng(0).normal(0.7, 0.1, 400)
    interval = bootstrap_interval(values, seed=1)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert (interval.low, interval.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-3)


def test_nineteen_of_twenty_intervals_hold_the_truth():
    rng = np.random.default_rng(3)
    held = 0
    for number in range(200):
        interval = bootstrap_interval(rng.normal(0, 1, 40), seed=number)
        held += interval.low <= 0 <= interval.high
    assert 0.88 <= held / 200 <= 0.99


def test_a_small_constant_gain_is_seen_through_large_differences_between_patients():
    rng = np.random.default_rng(5)
    patients = rng.uniform(0.2, 0.9, 30)
    better = patients + 0.02 + rng.normal(0, 0.01, 30)
    found = paired_difference(better, patients, seed=0)
    assert found.low > 0
    assert found.p < 0.01
    assert not found.is_tie
    swapped = paired_difference(patients, better, seed=0)
    assert swapped.mean == pytest.approx(-found.mean)
    assert swapped.p == pytest.approx(found.p)


def test_the_same_scores_are_a_tie():
    found = paired_difference([0.5, 0.7, 0.9], [0.5, 0.7, 0.9], seed=0)
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert found.is_tie


def test_the_p_value_is_that_of_all_exchanges():
    found = paired_difference([1.0] * 4, [0.0] * 4, seed=0)  # 2 of the 16 exchanges are as large
    assert found.p == 2 / 16


def test_one_patient_is_no_evidence():
    assert bootstrap_interval([0.5], seed=0) == Interval(0.5, 0.5, 0.5, 1)
    found = paired_difference([0.5], [0.25], seed=0)
    assert (found.low, found.high, found.p, found.is_tie) == (0.25, 0.25, 1.0, True)


def test_the_interval_is_the_percentiles_of_the_resampled_means():
    values = np.random.default_rng(11).uniform(0.2, 0.9, 25)
    rng = np.random.default_rng(4)
    means = [values[rng.integers(25, size=25)].mean() for _ in range(RESAMPLES)]
    interval = bootstrap_interval(values, seed=4)
    assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=1e-12)


def test_false_alarms_are_as_rare_as_they_should_be():
    rng = np.random.default_rng(7)
    alarms = sum(paired_difference(*rng.normal(0, 1, (2, 15)), seed=k).p < 0.05 for k in range(200))
    assert alarms <= 20


@pytest.mark.parametrize("values", [[], [np.nan], [[0.1, 0.2]]])
def test_what_is_no_list_of_values_is_refused(values):
    with pytest.raises(ValueError, match="finite value"):
        bootstrap_interval(values, seed=0)


def test_methods_with_different_patients_cannot_be_paired_by_accident():
    with pytest.raises(ValueError, match="2 values"):
        paired_difference([0.1, 0.2], [0.1], seed=0)
    assert common_values({"a": 1.0, "b": 2.0}, {"b": 3.0, "c": 4.0}) == ([2.0], [3.0])


def test_two_scans_of_a_patient_count_once():
    assert mean_by_patient([("a", 0.2), ("a", 0.4), ("b", 1.0)]) == {"a": pytest.approx(0.3), "b": 1.0}


def test_aggregates_name_the_worst_site_and_the_gap():
    sites = {"north": {"a": 0.9, "b": 0.7}, "south": {"c": 0.5}, "empty": {}}
    found = aggregate(sites, seed=0)
    assert found.interval.mean == pytest.approx(0.7)
    assert found.median == pytest.approx(0.7)
    assert (found.worst_site, found.gap) == ("south", pytest.approx(0.3))
    assert aggregate(sites, seed=0, lower_is_better=True).worst_site == "north"


def test_one_site_has_no_gap_and_none_has_nothing():
    found = aggregate({"only": {"a": 0.5}}, seed=0)
    assert (found.worst_site, found.gap) == (None, None)
    assert aggregate({"empty": {}}, seed=0) is None


def test_seeds_and_patients_are_both_drawn():
    """Two seeds that differ by 0.1 on every patient: drawn over patients alone they would differ at p < 0.001."""
    rng = np.random.default_rng(0)
    patients = rng.uniform(0.4, 0.9, 30)
    one, other = patients + 0.05, patients - 0.05
    alone = paired_difference(one, other, 0)
    assert alone.p < 0.001
    a, b = np.stack([one, other]), np.stack([other, one + 0.001])
    together = hierarchical_difference(a, b, 0)
    assert together.seeds == 2
    assert together.low < 0 < together.high
    assert together.p > 0.5
    interval = hierarchical_interval(a, 0)
    assert interval.high - interval.low > (bootstrap_interval(patients, 0).high - bootstrap_interval(patients, 0).low)


def test_one_seed_gives_the_interval_over_patients():
    values = np.random.default_rng(1).uniform(0, 1, 20)
    one, plain = hierarchical_interval(values[None], 0), bootstrap_interval(values, 0)
    assert (one.low, one.high) == pytest.approx((plain.low, plain.high), abs=0.01)


def test_a_difference_that_every_seed_and_patient_has_is_found():
    rng = np.random.default_rng(2)
    base = rng.uniform(0.3, 0.8, (3, 20))
    found = hierarchical_difference(base + 0.2, base + rng.normal(0, 0.01, (3, 20)), 0)
    assert found.p < 0.01
    assert found.low > 0.1


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
