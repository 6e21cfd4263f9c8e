"""A site keeps the model that serves it best, by cases that the fit has not seen, and the common one in doubt."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from fedbrats.errors import ConfigurationError
from fedbrats.jobs.settings import check_job
from fedbrats.site.hooks import best_of
from fedbrats.site.hooks.best_of import CANDIDATES, choose, halve, make_candidates
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
    ("gains", "kept"),
    [
        ([[0.1, 0.1, 0.1, 0.1], [0.0] * 4, [0.0] * 4], "fitted"),
        ([[0.1, 0.1, 0.1, 0.1], [0.2, 0.2, 0.2, 0.2], [0.0] * 4], "halfway"),
        ([[-0.1] * 4, [-0.1] * 4, [0.02, 0.03, 0.02, 0.03]], "head"),
        ([[0.9, -0.3, -0.3, -0.2], [0.0] * 4, [0.0] * 4], "common"),  # a gain that is one patient's
        ([[0.004] * 4, [0.004] * 4, [0.004] * 4], "common"),  # too small to matter
        ([[0.3, 0.3], [0.3, 0.3], [0.3, 0.3]], "common"),  # two patients say nothing
    ],
)
def test_the_common_model_stays_unless_most_patients_gain(gains, kept):
    assert choose(table(*gains))[0] == kept


def test_without_scores_the_common_model_stays():
    assert choose({}) == ("common", 0.0)
    assert choose({"0": np.zeros((len(CANDIDATES), 0))}) == ("common", 0.0)


def test_the_halves_share_no_patient_and_hold_every_case():
    cases = [SimpleNamespace(name=f"case-{k}", patient=f"patient-{k // 2}") for k in range(10)]
    one, other = halve(cases)
    assert {case.patient for case in one} & {case.patient for case in other} == set()
    assert len(one) + len(other) == 10
    assert halve(cases[:4]) == [[], []]


def test_candidates_by_hand():
    common = {"body.w": np.zeros(2, np.float32), "head.w": np.zeros(1, np.float32)}
    fitted = {name: value + 2 for name, value in common.items()}
    found = make_candidates(common, fitted, ["head."])
    assert tuple(found) == CANDIDATES
    assert found["halfway"]["body.w"].tolist() == [1, 1]
    assert (found["head"]["body.w"].tolist(), found["head"]["head.w"].tolist()) == ([0, 0], [2])


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


def test_a_site_keeps_one_of_the_candidates_also_after_restarts(open_site, tmp_path):
    received, kept, local_round, site = play(open_site, tmp_path / "steady", "site-1", restarted=False)
    assert kept.keys() == received.keys()
    _, again, _, _ = play(open_site, tmp_path / "restarted", "site-1", restarted=True)
    assert all(np.array_equal(kept[name], again[name]) for name in kept)
    report = local_round.evaluate(received, "final")
    assert report.validation_cases == 1
    assert all(np.array_equal(value, kept[name]) for name, value in site.trainer.get_weights().items())


def test_a_hospital_of_two_cases_keeps_the_common_model(open_site, tmp_path):
    received, kept, _, site = play(open_site, tmp_path / "two", "site-2", restarted=False)
    assert len(site.trainer.training) == 2
    assert all(np.array_equal(kept[name], received[name]) for name in kept)


def test_what_is_chosen_is_what_the_site_keeps(open_site, tmp_path, monkeypatch):
    monkeypatch.setattr(best_of, "choose", lambda scores: ("head", 1.0))
    received, kept, _, site = play(open_site, tmp_path / "head", "site-1", restarted=False)
    head = tuple(site.trainer.network.personal_names("head"))
    differs = {name for name in kept if not np.array_equal(kept[name], received[name])}
    assert differs
    assert all(name.startswith(head) for name in differs)


def test_a_site_that_was_away_in_the_first_personal_round_can_still_keep_the_common_model(open_site, tmp_path):
    site = open_site("site-2")  # two cases: the common model
    received = site.trainer.get_weights()
    hooks, local_round = new_round(site, tmp_path / "late")
    for number in range(ROUNDS - PERSONAL_ROUNDS + 1, ROUNDS):
        local_round.answer(RoundTask(received, number, ROUNDS))
    kept = hooks[1].state()
    assert all(np.array_equal(kept[name], received[name]) for name in kept)
