"""The trainer: it learns, repeats itself bit for bit, restarts where it stopped, and says what it cannot use."""

import math

import numpy as np
import pytest

from fedbrats.errors import ConfigurationError, DataError, UpdateError
from fedbrats.model.metrics import summarise
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.hooks import StepHook
from fedbrats.model.training.trainer import Trainer

NETWORK = {"preset": "tiny", "seed": 0}
SETTINGS = TrainingSettings(local_steps=4, learning_rate=1e-2, rotation_degrees=0, scaling=0)


def trainer(cases, seed=1, settings=SETTINGS, **changes) -> Trainer:
    return Trainer({**NETWORK, **changes}, settings, cases[:3], cases[3:], seed=seed, device="cpu")


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def differ(one, other) -> bool:
    return any((one[name] != other[name]).any() for name in one)


def test_it_learns(prepared):
    some = trainer(prepared, settings=SETTINGS.changed(local_steps=60, learning_rate=3e-2, intensity=0.0, flips=False))
    before = summarise(some.evaluation.score(prepared[:3]))["dice"]["WT"]
    outcomes = [some.train_round(number, 3) for number in range(3)]
    assert outcomes[2].loss < outcomes[0].loss
    assert summarise(some.evaluation.score(prepared[:3]))["dice"]["WT"] > before + 0.1
    assert [(outcome.steps, outcome.cases, outcome.skipped) for outcome in outcomes] == [(60, 3, 0)] * 3
    assert all(0 <= outcome.seconds_waiting <= outcome.seconds for outcome in outcomes)


def test_the_same_seeds_give_the_same_weights_bit_for_bit(prepared):
    noisy = SETTINGS.changed(noise=0.1, rotation_degrees=20, scaling=0.1, spatial_share=1.0)
    first, second, other = (trainer(prepared, seed, noisy, dropout=0.2) for seed in (1, 1, 2))
    for some in (first, second, other):
        for number in range(2):
            some.train_round(number, 2)
    assert_same(first.get_weights(), second.get_weights())
    assert differ(first.get_weights(), other.get_weights())


def test_a_restart_goes_on_as_if_nothing_had_happened(prepared, tmp_path):
    steady = trainer(prepared)
    steady.train_round(0, 2)
    steady.optimisation.save(tmp_path / "state.pt")
    weights = steady.get_weights()
    steady.train_round(1, 2)
    restarted = trainer(prepared)
    restarted.set_weights(weights)
    restarted.optimisation.load(tmp_path / "state.pt")
    restarted.train_round(1, 2)
    assert_same(restarted.get_weights(), steady.get_weights())


def test_a_file_that_is_no_state_is_refused(prepared, tmp_path):
    path = tmp_path / "state.pt"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UpdateError, match="is not a training state"):
        trainer(prepared).optimisation.load(path)


def test_weights_are_copies_and_come_back_whole(prepared):
    some = trainer(prepared)
    weights = some.get_weights()
    some.train_round(0, 1)
    assert differ(weights, some.get_weights())
    some.set_weights(weights)
    assert_same(some.get_weights(), weights)


def test_weights_that_do_not_fit_are_refused_by_name_and_nothing_is_taken_over(prepared):
    some = trainer(prepared)
    weights = some.get_weights()
    name = next(iter(weights))
    without = {key: value + 1 for key, value in weights.items() if key != name}
    with pytest.raises(UpdateError, match=f"{name} is missing"):
        some.set_weights(without)
    with pytest.raises(UpdateError, match="stranger is not of this network"):
        some.set_weights({**weights, "stranger": np.zeros(1)})
    last = list(weights)[-1]
    with pytest.raises(UpdateError, match=f"{last} has shape"):
        some.set_weights({**without, name: weights[name], last: np.zeros(99)})
    assert_same(some.get_weights(), weights)
    some.set_weights({name: weights[name] * 0}, strict=False)
    assert not some.get_weights()[name].any()


def test_a_round_stops_when_told(prepared):
    some = trainer(prepared, settings=SETTINGS.changed(local_steps=50))
    steps = []
    outcome = some.train_round(0, 1, should_stop=lambda: len(steps) >= 3, on_step=lambda step, _: steps.append(step))
    assert outcome.steps == 3


def test_a_loss_that_is_not_finite_changes_no_weight(prepared):
    some = trainer(prepared)
    weights = some.get_weights()
    name = next(iter(weights))
    some.set_weights({**weights, name: weights[name] * np.nan})
    with pytest.raises(UpdateError, match="no step of round 0 had a finite loss"):
        some.train_round(0, 1)
    some.set_weights(weights)
    assert math.isfinite(some.train_round(0, 1).loss)


def test_hooks_are_called_at_every_step_and_may_change_loss_and_gradient(prepared):
    class Counting(StepHook):
        def __init__(self):
            self.calls = []

        def before_steps(self, network):
            self.calls.append("before")

        def change_loss(self, loss, network):
            self.calls.append("loss")
            return loss * 2

        def change_gradient(self, network):
            self.calls.append("gradient")
            for parameter in network.parameters():
                parameter.grad.zero_()

        def after_step(self, network):
            self.calls.append("after")

    settings = SETTINGS.changed(local_steps=2, weight_decay=0.0)
    plain, hooked, hook = trainer(prepared, settings=settings), trainer(prepared, settings=settings), Counting()
    first = hooked.get_weights()
    doubled = hooked.train_round(0, 1, hooks=[hook])
    assert hook.calls == ["before", *["loss", "gradient", "after"] * 2]
    assert_same(hooked.get_weights(), first)  # without a gradient nothing is learned
    losses = []
    plain.train_round(0, 1, on_step=lambda _, loss: losses.append(loss))
    assert doubled.loss > losses[0]


def test_deep_supervision_trains_every_head(prepared):
    settings = SETTINGS.changed(local_steps=1, deep_supervision=True)
    options = {"preset": "large", "seed": 0, "filters": 4, "blocks_down": [1, 1, 1], "heads": 2}
    some = Trainer(options, settings, prepared[:1], seed=0, device="cpu")
    before = some.get_weights()
    some.train_round(0, 1)
    after = some.get_weights()
    heads = [name for name in before if ".head." in name and before[name].any()]
    assert len(heads) >= 2
    assert all((before[name] != after[name]).any() for name in heads)


def test_a_round_is_as_long_at_every_site_unless_epochs_are_asked_for():
    assert TrainingSettings(local_steps=5).steps_per_round(7) == 5
    assert TrainingSettings(local_epochs=2, batch_size=3).steps_per_round(7) == 6


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"learning_rat": 1}, "did you mean learning_rate"),
        ({"learning_rate": 0}, "learning_rate is 0, expected a number from 1e-09 to 10"),
        ({"spatial_share": 1.5}, "expected a number from 0 to 1"),
        ({"local_steps": 0}, "expected a whole number from 1 to"),
        ({"patch_size": [64, 64, 4]}, "three whole numbers from 8"),
        ({"batch_size": 1.5}, "a whole number"),
        ({"patch_size": [64, 64]}, "three whole numbers from 8 to 4096 or null"),
        ({"schedule": "steps"}, "cosine, constant"),
        ({"flips": 1}, "true or false"),
    ],
)
def test_settings_that_cannot_be_are_refused(document, said):
    with pytest.raises(ConfigurationError, match=said):
        TrainingSettings.from_json(document)


def test_without_cases_there_is_nothing_to_train():
    with pytest.raises(DataError, match="no case to train on"):
        Trainer(NETWORK, SETTINGS, [], seed=0)
