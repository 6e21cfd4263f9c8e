"""Differential privacy in a round at a site: paid for before the update leaves, refused before it is trained."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fedbrats.errors import ConfigurationError, DataError
from fedbrats.model.training.private import cases_by_patient
from fedbrats.privacy.ledger import LEDGER_FILE, Ledger
from fedbrats.privacy.noise import SecretRandom
from fedbrats.privacy.settings import PrivacySettings
from fedbrats.site.hooks.choice import choose_hooks
from fedbrats.site.hooks.private import choose_private
from fedbrats.site.local_round import LocalRound
from fedbrats.site.local_site import open_local_site
from fedbrats.site.task import RoundTask

SETTINGS = PrivacySettings(dp_noise=20.0, dp_patches=1, dp_rate=1.0)


@pytest.fixture
def open_site(tmp_path, phantom_sites):
    """site-1 with a privacy budget, or another site file."""

    def make(budget=(8.0, 1e-3), **training):
        (tmp_path / "local").mkdir(exist_ok=True)
        facts = {"cache_dir": "cache", "personal_dir": "personal", "threads": 1, "min_cases": 1}
        facts |= {"data_dir": str(phantom_sites / "site-1")}
        if budget:
            facts["privacy_budget"] = dict(zip(("epsilon", "delta"), budget, strict=True))
        (tmp_path / "local" / "fedbrats.json").write_text(json.dumps(facts))
        return open_local_site(
            "site-1",
            tmp_path / "local",
            tmp_path / "run",
            network={"preset": "tiny", "seed": 0},
            training={"local_steps": 2, "patch_size": [16, 16, 16], **training},
            preparation={"spacing_mm": 8.0},
            seed=0,
        )

    return make


def local_round(site, tmp_path, settings=SETTINGS, random=None):
    private = choose_private(site, settings, "job")
    if private:
        private._random = random
    hooks = choose_hooks(site.trainer.settings, private=private)
    validations = {"validate_received": False, "validate_trained": False}
    return LocalRound(site, hooks, [tmp_path / "personal" / "job" / site.name], **validations)


def ledger(tmp_path):
    return Ledger(tmp_path / "personal" / "site-1" / LEDGER_FILE)


def test_a_round_is_paid_for_and_tells_nothing_of_patients(open_site, tmp_path):
    site = open_site()
    answer = local_round(site, tmp_path).answer(RoundTask(site.trainer.get_weights(), 0, 2))
    [entry] = ledger(tmp_path).read()
    assert (entry.job, entry.round, entry.noise, entry.rate, entry.steps) == ("job", 0, 20.0, 1.0, 2)
    told = {name: value for name, value in answer.report.model_dump().items() if value is not None}
    assert told.keys() == {"training_cases", "version", "steps", "loss_cases", "begins", "fitted"}
    assert told["training_cases"] == told["loss_cases"] == len(site.trainer.training)
    evaluation = local_round(site, tmp_path).evaluate(site.trainer.get_weights(), "final")
    assert evaluation.metrics is None


def test_a_repeated_round_draws_new_noise_and_counts_again(open_site, tmp_path):
    first = open_site().trainer.get_weights()
    answers = [local_round(open_site(), tmp_path).answer(RoundTask(first, 0, 2)) for _ in range(2)]
    assert any(not np.array_equal(answers[0].update[name], answers[1].update[name]) for name in first)
    assert len(ledger(tmp_path).read()) == 2


def test_the_budget_refuses_before_it_trains_with_the_arithmetic(open_site, tmp_path):
    site = open_site(budget=(2.0, 1e-3))
    start = site.trainer.get_weights()
    with pytest.raises(ConfigurationError, match=r"site-1 takes no part: 500 rounds .* epsilon 0.00 to .*allows 2"):
        local_round(site, tmp_path).answer(RoundTask(start, 0, 500))
    assert not ledger(tmp_path).path.exists()
    assert all(np.array_equal(value, site.trainer.get_weights()[name]) for name, value in start.items())


def test_what_another_job_spent_meanwhile_keeps_the_update_at_home(open_site, tmp_path):
    site = open_site(budget=(2.0, 1e-3))
    running = local_round(site, tmp_path)
    hook = next(hook for hook in running._hooks if hook.name == "private")
    hook.begin_round(site, {}, RoundTask({}, 0, 1))
    hook._account.charge(0, 2)
    spent = ledger(tmp_path).read()[0]
    ledger(tmp_path).charge(replace(spent, job="other", noise=2.0), lambda entries: None)
    with pytest.raises(ConfigurationError, match=r"takes no part: round 0"):
        hook.change_update({})
    assert len(ledger(tmp_path).read()) == 2


def test_a_damaged_ledger_lets_nothing_leave(open_site, tmp_path):
    site = open_site(budget=None)
    local_round(site, tmp_path).answer(RoundTask(site.trainer.get_weights(), 0, 2))
    ledger(tmp_path).path.write_text("")
    with pytest.raises(DataError, match="restore it"):
        local_round(site, tmp_path).answer(RoundTask(site.trainer.get_weights(), 1, 2))


def test_a_site_with_a_budget_takes_no_part_in_open_training(open_site):
    with pytest.raises(ConfigurationError, match=r"site-1 takes no part: this job trains without"):
        choose_private(open_site(), PrivacySettings(), "job")
    assert choose_private(open_site(budget=None), PrivacySettings(), "job") is None
    with pytest.raises(ConfigurationError, match="build it with"):
        choose_private(open_site(), PrivacySettings(dp_epsilon=8.0), "job")


@pytest.mark.parametrize("beside", [{"best_of": True}, {"measure_minus_model": True}, {"hooks": {"mine.Hook": {}}}])
def test_nothing_trains_or_tells_beside_private_steps(open_site, beside):
    """Also in a job that was not built by fedbrats: best_of would train its rounds without noise."""
    site = open_site()
    with pytest.raises(ConfigurationError, match=f"has no {next(iter(beside))}"):
        choose_hooks(site.trainer.settings, personal_rounds=3, private=choose_private(site, SETTINGS, "job"), **beside)


def test_a_site_without_opacus_refuses_in_one_sentence(open_site, monkeypatch):
    site = open_site()
    monkeypatch.setitem(__import__("sys").modules, "opacus.accountants", None)
    with pytest.raises(ConfigurationError, match=r"install fedbrats\[privacy\]"):
        choose_private(site, SETTINGS, "job")


@pytest.mark.parametrize("budget", [(0, 1e-3), (-1.0, 1e-3), (8.0, 0), (8.0, 1), ("8", 1e-3)])
def test_a_budget_that_cannot_be_is_refused(open_site, budget):
    with pytest.raises(ConfigurationError, match=r"site site-1.*privacy_budget"):
        open_site(budget=budget)


def test_a_patient_with_many_cases_counts_once(open_site, tmp_path):
    """With almost no noise the update of a step is the mean of clipped gradients: one patient, one part."""
    site = open_site(optimiser="adam", local_steps=1)
    site.trainer.training = tuple(replace(case, patient="one") for case in site.trainer.training)
    assert list(cases_by_patient(site.trainer)) == ["one"]
    found = {}
    site.trainer.optimisation.apply = lambda rate, hooks: found.update(
        norm=sum(float((each.grad**2).sum()) for each in site.trainer.network.parameters()) ** 0.5
    )
    settings = PrivacySettings(dp_noise=1e-9, dp_clip=1e-3, dp_patches=2)
    from fedbrats.model.training.private import train_privately

    train_privately(site.trainer, settings, 0, 1, SecretRandom())
    assert found["norm"] == pytest.approx(1e-3, rel=1e-3)


def test_only_what_is_trainable_changes_and_gets_noise(open_site, tmp_path):
    site = open_site(trainable="norm,head")
    start = site.trainer.get_weights()
    answer = local_round(site, tmp_path).answer(RoundTask(start, 0, 2))
    names = set(site.trainer.network.personal_names("norm,head"))
    assert {name for name, value in answer.update.items() if value.any()} == names != set(start)
