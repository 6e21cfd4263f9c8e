"""Steps of hooks on weights alone: the places of a step, and what a network is needed for."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from fedbrats.errors import UpdateError
from fedbrats.extensions.array_trial import NeedsNetworkError
from fedbrats.extensions.step_trial import RATE, STEPS, KnownNetwork, play_steps
from fedbrats.methods.scaffold import ScaffoldSite
from fedbrats.model.network import SegmentationNetwork
from fedbrats.model.training.hooks import StepHook
from fedbrats.site.hooks.proximal import ProximalTerm

START = {"a": np.zeros(3, np.float32), "b": np.ones((2, 2), np.float32)}
TARGET = {name: value + 1 for name, value in START.items()}


class Noted(StepHook):
    """Notes where it is called."""

    def __init__(self):
        self.places = []

    def before_steps(self, network):
        self.places.append("before")

    def change_loss(self, loss, network):
        self.places.append("loss")
        return loss

    def change_gradient(self, network):
        assert all(parameter.grad is not None for parameter in network.parameters())
        self.places.append("gradient")

    def after_step(self, network):
        self.places.append("after")


def test_hooks_are_called_at_every_place_and_a_buffer_stays():
    hook = Noted()
    trained = play_steps([hook, ProximalTerm(1.0), ScaffoldSite()], START, TARGET, {"b"})
    assert hook.places == ["before", *["loss", "gradient", "after"] * STEPS]
    np.testing.assert_allclose(trained["a"], STEPS * RATE)
    np.testing.assert_array_equal(trained["b"], START["b"])
    assert not START["a"].any(), "the weights that came stay as they are"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_is_no_step(value):
    class Filled(StepHook):
        def change_gradient(self, network):
            next(network.parameters()).grad.fill_(value)

    with pytest.raises(UpdateError, match="no step had a finite loss and gradient"):
        play_steps([Filled()], START, TARGET, ())


def test_the_noise_of_a_hook_is_the_same_in_every_trial_and_leaves_the_callers_random_numbers():
    class Noisy(StepHook):
        def after_step(self, network):
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.add_(torch.randn_like(parameter))

    torch.manual_seed(1)
    one = play_steps([Noisy()], START, TARGET, ())
    drawn = torch.rand(1)
    other = play_steps([Noisy()], START, TARGET, ())
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(1))
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_its_parameters_are_those_of_the_network():
    network = SegmentationNetwork("tiny")
    known = KnownNetwork({name: value.numpy() for name, value in network.state_dict().items()})
    for own, other in (
        (known.named_parameters(), network.named_parameters()),
        (known.state_dict().items(), network.state_dict().items()),
    ):
        for (name, value), (expected, number) in zip(own, other, strict=True):
            assert name == expected
            assert torch.equal(value, number)
            assert isinstance(value, nn.Parameter) == isinstance(number, nn.Parameter)
    assert isinstance(known, nn.Module)


@pytest.mark.parametrize(
    "ask",
    [
        lambda network: network(torch.zeros(1, 4, 8, 8, 8)),
        lambda network: network.net,
        lambda network: list(network.modules()),
        lambda network: network.register_forward_hook(print),
        lambda network: network.named_parameters(prefix="own"),
        lambda network: network.state_dict(keep_vars=True),
        lambda network: setattr(network, "kept", 1),
        lambda network: repr(network),
        copy.deepcopy,
    ],
)
def test_what_else_a_hook_asks_needs_the_network(ask):
    with pytest.raises(NeedsNetworkError):
        ask(KnownNetwork(START))
