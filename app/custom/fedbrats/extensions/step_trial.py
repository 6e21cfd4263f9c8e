"""Steps of hooks on a network's weights without the network: MONAI and an optimiser take a second each to import."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedbrats.errors import UpdateError
from fedbrats.extensions.array_trial import NeedsNetworkError
from fedbrats.model.training.hooks import StepHook

STEPS = 2
RATE = 1e-3  # how far a step moves a number, as the first step of Adam does whatever the gradient's length is


class KnownNetwork(nn.Module):
    """Has the parameters of a network, and raises NeedsNetworkError where a hook wants anything else of it.

    Args:
        weights: of the network, by name.
        buffers: which of them are no parameters.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], buffers: Collection[str] = ()) -> None:
        # Nothing of nn.Module is set up, and `__getattribute__` lets nobody reach it.
        values = {name: torch.from_numpy(np.array(value, np.float32)) for name, value in weights.items()}
        vars(self)["values"] = {
            name: value if name in buffers else nn.Parameter(value) for name, value in values.items()
        }

    def __getattribute__(self, name: str) -> Any:
        """Raises NeedsNetworkError for what this class does not answer."""
        if name in ("parameters", "named_parameters", "state_dict") or name.startswith("__"):
            return super().__getattribute__(name)
        raise NeedsNetworkError

    def __setattr__(self, name: str, value: Any) -> None:
        """Raises NeedsNetworkError."""
        raise NeedsNetworkError

    def named_parameters(self, *arguments: Any, **more: Any) -> Iterator[tuple[str, nn.Parameter]]:
        """All parameters by name; raises NeedsNetworkError where some are asked for."""
        if arguments or more:
            raise NeedsNetworkError
        return iter([(name, each) for name, each in vars(self)["values"].items() if isinstance(each, nn.Parameter)])

    def parameters(self, *arguments: Any, **more: Any) -> Iterator[nn.Parameter]:
        """All parameters; raises NeedsNetworkError where some are asked for."""
        return iter([each for _, each in self.named_parameters(*arguments, **more)])

    def state_dict(self, *arguments: Any, **more: Any) -> OrderedDict[str, Tensor]:  # type: ignore[override]
        """All weights by name, which share their numbers with the parameters."""
        if arguments or more:
            raise NeedsNetworkError
        return OrderedDict((name, value.detach()) for name, value in vars(self)["values"].items())


def play_steps(
    hooks: Sequence[StepHook],
    start: Mapping[str, np.ndarray],
    target: Mapping[str, np.ndarray],
    buffers: Collection[str],
) -> dict[str, np.ndarray]:
    """The weights after STEPS steps from `start`; the loss is half the squared distance to `target`.

    Args:
        hooks: called at the places of a step where `Trainer` calls them.
        start: weights by name.
        target: of the same names and shapes.
        buffers: which of them are no parameters.

    Raises: UpdateError where no step had a finite loss and gradient; NeedsNetworkError; and what a hook raises.
    """
    network = KnownNetwork(start, buffers)
    with torch.random.fork_rng(devices=[]):  # a hook's noise is the same in every trial
        torch.default_generator.manual_seed(0)
        for hook in hooks:
            hook.before_steps(network)
        made = [_step(network, hooks, target) for _ in range(STEPS)]
    if not any(made):
        raise UpdateError("no step had a finite loss and gradient")
    return {name: value.numpy().copy() for name, value in network.state_dict().items()}


def _step(network: nn.Module, hooks: Sequence[StepHook], target: Mapping[str, np.ndarray]) -> bool:
    """Move the weights once; False, and nothing is moved, where the loss or the gradient is not finite."""
    parameters = dict(network.named_parameters())
    for parameter in parameters.values():
        parameter.grad = None
    loss = torch.zeros(())
    for name, parameter in parameters.items():
        loss = loss + (parameter - torch.from_numpy(target[name])).square().sum() / 2
    for hook in hooks:
        loss = hook.change_loss(loss, network)
    if not math.isfinite(float(loss.detach())):
        return False
    loss.backward()
    for hook in hooks:
        hook.change_gradient(network)
    moved = [each for each in parameters.values() if each.grad is not None]
    if not all(each.grad.isfinite().all() for each in moved if each.grad is not None):
        return False
    with torch.no_grad():
        for each in moved:
            assert each.grad is not None
            each.sub_(RATE * each.grad.sign())
    for hook in hooks:
        hook.after_step(network)
    return True
