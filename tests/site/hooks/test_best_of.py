"""A site keeps the model that serves it best: by cases that the fit has not seen, where it has enough of them."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from fedbrats.errors import ConfigurationError
from fedbrats.jobs.settings import check_job
from fedbrats.model.training.trainer import Trainer
from fedbrats.site.hooks import best_of
from fedbrats.site.hooks.best_of import (
    CANDIDATES,
    LEAST_PATIENTS,
    PRIOR_GAINS,
    PRIOR_PATIENTS,
    can_choose,
    choose,
    halve,
    make_candidates,
)
from fedbrats.site.hooks.choice import choose_hooks
from fedbrats.site.local_round import LocalRound
from fedbrats.site.local_site import open_local_site
from fedbrats.site.task import RoundTask

ROUNDS, PERSONAL_ROUNDS = 4, 3


def table(*gains):
    """Scores of the common model and of the other candidates, who gain so much on each patient."""
    common = np.full(len(gains[0]), 0.5)
    return {"0": np.array([common, *(common + np.array(own) for own in gains)])}


@pytest.mark.parametrize(
    ("halfway", "fitted", "kept"),
    [
        ([0.1] * 8, [0.2] * 8, "fitted"),
        ([0.2] * 8, [0.1] * 8, "halfway"),
        ([-0.1] * 8, [-0.1] * 8, "common"),
        ([-0.004] * 6, [-0.1] * 6, "halfway"),  # in doubt what serves most hospitals
    ],
)
def test_the_largest_gain_is_kept_some_prior_patients_counted_in(halfway, fitted, kept):
    assert choose(table(halfway, fitted))[0] == kept


def test_the_gain_counts_the_prior_patients():
    assert choose(table([0.0] * 6, [0.1] * 6)) == (
        "fitted",
        pytest.approx((0.6 + PRIOR_PATIENTS * PRIOR_GAINS[2]) / (6 + PRIOR_PATIENTS)),
    )


def test_without_scores_the_fitted_model_is_kept():
    assert choose({})[0] == "fitted"


def test_the_halves_share_no_patient_and_hold_every_case():
    cases = [SimpleNamespace(name=f"case-{k}", patient=f"patient-{k // 2}") for k in range(10)]
    one, other = halve(cases)
    assert {case.patient for case in one} & {case.patient for case in other} == set()
    assert len(one) + len(other) == 10


def test_scans_of_few_patients_are_too_few_to_choose_by():
    cases = [SimpleNamespace(patient=f"patient-{k // 2}") for k in range(2 * LEAST_PATIENTS)]
    assert can_choose(cases)
    assert not can_choose(cases[:-2])


def test_candidates_by_hand():
    common = {"w": np.zeros(2, np.float32)}
    found = make_candidates(common, {"w": np.full(2, 2, np.float32)})
    assert tuple(found) == CANDIDATES
    assert [found[name]["w"].tolist() for name in CANDIDATES] == [[0, 0], [1, 1], [2, 2]]


def test_a_job_without_rounds_for_the_fits_is_refused():
    with pytest.raises(ConfigurationError, match="best_of is true and personal_rounds is 2"):
        check_job({"best_of": True, "personal_rounds": 2, "num_rounds": 9})


@pytest.fixture
def open_site(tmp_path, phantom_sites):
    def make(name="site-1"):
        (tmp_path / "local").mkdir(exist_ok=True)
        facts = {"cache_dir": "cache", "personal_dir": "personal", "threads": 1, "min_cases": 1}
        (tmp_path / "local" / "fedbrats.json").write_text(json.dumps({**facts, "data_dir": str(phantom_sites / name)}))
        return open_local_site(
            name,
            tmp_path / "local",
            tmp_path / "run",
            network={"preset": "tiny", "seed": 0},
            training={"local_steps": 2, "patch_size": [16, 16, 16], "final_flips": False},
            preparation={"spacing_mm": 8.0},
            seed=0,
        )

    return make


def new_round(site, folder):
    hooks = choose_hooks(site.trainer.settings, personal_rounds=PERSONAL_ROUNDS, best_of=True)
    silent = {"validate_received": False, "validate_trained": False}
    return hooks, LocalRound(site, hooks, [folder / site.name], **silent)


def play(open_site, folder, name, restarted):
    """The personal weights that a site ends with; restarted before every round, or not."""
    site = open_site(name)
    received = site.trainer.get_weights()
    hooks, local_round = new_round(site, folder)
    for number in range(ROUNDS):
        if restarted:
            site = open_site(name)
            hooks, local_round = new_round(site, folder)
        assert local_round.answer(RoundTask(received, number, ROUNDS)) is not None
        assert len(site.trainer.training) == site.trainer.usable_training_cases
    return received, hooks[1].state(), local_round, site


def test_a_site_keeps_one_of_the_candidates_also_after_restarts(open_site, tmp_path, monkeypatch):
    monkeypatch.setattr(best_of, "LEAST_PATIENTS", 3)
    received, kept, local_round, site = play(open_site, tmp_path / "steady", "site-1", restarted=False)
    assert kept.keys() == received.keys()
    _, again, _, _ = play(open_site, tmp_path / "restarted", "site-1", restarted=True)
    assert all(np.array_equal(kept[name], again[name]) for name in kept)
    report = local_round.evaluate(received, "final")
    assert report.validation_cases == 1
    assert all(np.array_equal(value, kept[name]) for name, value in site.trainer.get_weights().items())


@pytest.mark.parametrize(("on_trained", "is_common"), [([[0.5], [0.6]], False), ([[0.5], [0.4]], True)])
def test_a_hospital_of_two_cases_keeps_the_fitted_model_unless_the_fit_has_failed(
    open_site, tmp_path, monkeypatch, on_trained, is_common
):
    monkeypatch.setattr(best_of, "score", lambda site, models, cases: np.array(on_trained))
    received, kept, _, site = play(open_site, tmp_path / "two", "site-2", restarted=False)
    assert len(site.trainer.training) == 2
    assert all(np.array_equal(kept[name], received[name]) for name in kept) is is_common


def test_what_is_chosen_is_what_the_site_keeps(open_site, tmp_path, monkeypatch):
    monkeypatch.setattr(best_of, "LEAST_PATIENTS", 3)
    monkeypatch.setattr(best_of, "choose", lambda scores: ("common", 0.0))
    received, kept, _, _ = play(open_site, tmp_path / "common", "site-1", restarted=False)
    assert all(np.array_equal(kept[name], received[name]) for name in kept)


def test_the_learning_rate_ends_with_the_shared_rounds_and_with_every_fit(open_site, tmp_path, monkeypatch):
    monkeypatch.setattr(best_of, "LEAST_PATIENTS", 3)
    asked = []
    train_round = Trainer.train_round

    def listen(self, number, total, **more):
        asked.append((number, total))
        return train_round(self, number, total, **more)

    monkeypatch.setattr(Trainer, "train_round", listen)
    play(open_site, tmp_path / "rates", "site-1", restarted=False)
    assert asked == [(0, 1), (1, 2), (1, 2), (1, 2)]  # one shared round, and the second half of three fits
    asked.clear()
    play(open_site, tmp_path / "few", "site-2", restarted=False)
    assert asked == [(0, 1), (3, 6), (4, 6), (5, 6)]  # one fit


def test_a_site_that_was_away_in_the_first_personal_round_can_still_keep_the_common_model(
    open_site, tmp_path, monkeypatch
):
    monkeypatch.setattr(best_of, "choose", lambda scores: ("common", 0.0))
    site = open_site("site-2")
    received = site.trainer.get_weights()
    hooks, local_round = new_round(site, tmp_path / "late")
    for number in range(ROUNDS - PERSONAL_ROUNDS + 1, ROUNDS):
        local_round.answer(RoundTask(received, number, ROUNDS))
    kept = hooks[1].state()
    assert all(np.array_equal(kept[name], received[name]) for name in kept)
