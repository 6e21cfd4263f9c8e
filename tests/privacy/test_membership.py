"""Telling members from others: the number, its interval, and what is found at few false alarms."""

import numpy as np
import pytest
from scipy.special import logit

from fedbrats.errors import ConfigurationError
from fedbrats.privacy.membership import halves, is_conclusive, measure, scores_of

RNG = np.random.default_rng(0)


def test_members_that_all_score_higher_are_all_found():
    found = measure([3.0, 4.0, 5.0, 6.0], [0.0, 1.0, 2.0, 2.5])
    assert (found.auc, found.low, found.high) == (1.0, 1.0, 1.0)
    assert found.hits["0.1"][0] == 1.0
    assert found.hits["0.1"][1] == pytest.approx(0.025 ** (1 / 4))  # Clopper and Pearson: four of four
    assert not found.tells_nothing


def test_the_order_of_the_patients_changes_nothing():
    members, others = RNG.normal(1, 1, 9), RNG.normal(0, 1, 7)
    assert measure(members, others) == measure(RNG.permutation(members), RNG.permutation(others))


def test_ties_are_chance():
    assert measure([1.0] * 5, [1.0] * 5).auc == 0.5


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    covered = [measure(RNG.normal(0, 1, 30), RNG.normal(0, 1, 30), seed).tells_nothing for seed in range(60)]
    assert 0.85 <= np.mean(covered) <= 1.0
    shifted = [measure(RNG.normal(2, 1, 30), RNG.normal(0, 1, 30), seed) for seed in range(20)]
    assert not any(each.tells_nothing for each in shifted)
    assert np.mean([each.auc for each in shifted]) == pytest.approx(0.921, abs=0.02)  # of two Gaussians 2 apart


def test_few_false_alarms_find_few():
    found = measure(np.arange(100.0) + 50, np.arange(100.0))
    assert found.hits["0.01"][0] == pytest.approx(0.51)
    assert found.hits["0.1"][0] == pytest.approx(0.60)


def test_too_few_patients_give_no_number():
    assert measure([1.0, 2.0], [0.0] * 9) is None


def test_a_reference_takes_out_what_is_easy_for_every_model():
    losses = {"easy": 0.1, "hard": 0.9}
    alone = scores_of(losses, [])
    assert alone == {"easy": pytest.approx(logit(np.exp(-0.1))), "hard": pytest.approx(logit(np.exp(-0.9)))}
    related = scores_of(losses, [{"easy": 0.1, "hard": 0.9}, {"easy": 0.1, "hard": 1.1}])
    assert related["easy"] == pytest.approx(0.0)
    assert related["hard"] == pytest.approx(alone["hard"] - (logit(np.exp(-0.9)) + logit(np.exp(-1.1))) / 2)


def test_a_small_loss_that_is_halved_counts_like_a_large_one_that_is():
    small, large = (scores_of({"patient": after}, [{"patient": before}]) for before, after in ((0.2, 0.1), (0.8, 0.46)))
    assert small["patient"] == pytest.approx(large["patient"], abs=0.01)
    assert np.isfinite(scores_of({"patient": 0.0}, [{"patient": 0.5}])["patient"])


def test_patients_with_unlike_references_are_not_compared():
    """Those that another fold did not train on would have scores of another kind than the rest."""
    losses = {"member": 0.5, "other": 0.5}
    with pytest.raises(ConfigurationError, match="of the patients 1 have 0 and 1 have 1 references"):
        scores_of(losses, [{"member": 0.5}])
    scores = scores_of(losses, [{"member": 0.75}, {"other": 0.75}])
    assert scores["member"] == scores["other"] > 0


@pytest.mark.parametrize(
    ("members", "by_heart", "tells_nothing", "says_something"),
    [(True, True, True, True), (True, True, False, True), (True, False, False, True),
     (True, False, True, False), (False, True, False, False), (False, False, True, False)],
)  # fmt: skip
def test_a_weak_attack_says_something_only_where_it_finds(members, by_heart, tells_nothing, says_something):
    controls = {"members_against_members": {"as_expected": members}, "by_heart": {"as_expected": by_heart}}
    assert is_conclusive({"controls": controls, "tells_nothing": tells_nothing}) == says_something


def test_halves_are_disjoint_and_by_chance():
    names = [f"patient-{number}" for number in range(9)]
    one, other = halves(names, 0)
    assert sorted(one + other) == sorted(names)
    assert (one, other) == halves(list(reversed(names)), 0) != halves(names, 1)
