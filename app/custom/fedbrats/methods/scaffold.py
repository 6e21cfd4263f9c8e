"""SCAFFOLD (Karimireddy et al. 2020, arXiv:1910.06378): control variates against the drift of sites that differ.

A site's control variate is the mean gradient of its last round. For plain SGD that is the paper's option II,
`c - c_i + (x - y_i) / (K * rate)`, and it means the same under every other optimiser.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from fedbrats.federation.aggregator import Aggregator, Combined, unweighted_rows
from fedbrats.federation.gates import Contribution
from fedbrats.federation.said import SaidArray
from fedbrats.federation.updates import weighted_mean
from fedbrats.site.hooks.hook import SiteHook
from fedbrats.site.task import RoundTask, Weights

if TYPE_CHECKING:
    from fedbrats.site.local_site import LocalSite

SAID = {"control": SaidArray("how the site's control variate has changed in this round", length=None, most=1e6)}


class Scaffold(Aggregator):
    """The plain mean of the updates, and of the changes of control variates; sites are alike, whatever their cases.

    Args:
        server_rate: The share of the mean update that the model moves by.
    """

    weighs_by_cases = False
    hears = SAID

    def __init__(self, server_rate: Annotated[float, Field(gt=0, le=10)] = 1.0) -> None:
        self._rate = server_rate
        self._control: dict[str, np.ndarray] = {}  # by name; empty before the first round
        self._sites: set[str] = set()

    def combine(self, contributions: Sequence[Contribution], round_number: int) -> Combined:
        """x + rate * mean(y_i - x), and c + |S| / N * mean(c_i' - c_i)."""
        equal = [1.0] * len(contributions)
        mean = weighted_mean([each.update for each in contributions], equal)
        change = weighted_mean([each.said["control"] for each in contributions], equal)
        self._sites |= {each.site for each in contributions}
        share = len(contributions) / len(self._sites)
        self._control = {
            name: (self._control.get(name, 0) + share * value).astype(value.dtype) for name, value in change.items()
        }
        update = {name: (self._rate * value).astype(value.dtype) for name, value in mean.items()}
        return Combined(update, unweighted_rows(contributions))

    def tell(self) -> Mapping[str, Any]:
        """The server's control variate."""
        return {"control": self._control}

    def state(self) -> Mapping[str, Any]:
        """The server's control variate and the sites so far."""
        return {"sites": sorted(self._sites), **{f"control.{name}": each for name, each in self._control.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` has kept."""
        self._sites = set(state["sites"])
        self._control = {
            name.removeprefix("control."): each for name, each in state.items() if name.startswith("control.")
        }


class ScaffoldSite(SiteHook):
    """Adds c - c_i to every gradient."""

    name = "scaffold"
    says = SAID

    def __init__(self) -> None:
        self._own: dict[str, np.ndarray] = {}  # c_i by name; empty before the first round
        self._before: dict[str, np.ndarray] = {}
        self._server: Mapping[str, np.ndarray] = {}
        self._sums: dict[str, Tensor] = {}
        self._steps = 0
        self._shapes: dict[str, tuple[int, ...]] = {}

    def begin_round(self, site: LocalSite, weights: Weights, task: RoundTask) -> Weights:
        """Remember the server's control variate."""
        self._server = task.told.get("control", {})
        return weights

    def before_steps(self, network: nn.Module) -> None:
        """No step yet."""
        self._sums, self._steps = {}, 0

    def change_gradient(self, network: nn.Module) -> None:
        """Sum up the gradient as it is, then correct it."""
        self._steps += 1
        for name, parameter in network.named_parameters():
            if parameter.grad is None:
                continue
            gradient = parameter.grad.detach()
            self._sums[name] = self._sums[name] + gradient if name in self._sums else gradient.clone()
            correction = np.asarray(self._server.get(name, 0) - self._own.get(name, np.float32(0)), dtype=np.float32)
            if correction.shape == tuple(parameter.shape):
                parameter.grad.add_(torch.from_numpy(correction).to(parameter.device))

    def end_round(self, trained: Weights) -> None:
        """The mean gradient is the new control variate."""
        self._before = self._own
        self._own = {name: (each / self._steps).cpu().numpy() for name, each in self._sums.items()}

    def say(self) -> Mapping[str, Any]:
        """How the control variate has changed; of weights without a gradient, nothing."""
        return {"control": {name: self._change(name, shape) for name, shape in self._shapes.items()}}

    def change_update(self, update: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Remember the form of the update, of which the control variate is too."""
        self._shapes = {name: value.shape for name, value in update.items()}
        return update

    def state(self) -> Weights | None:
        """c_i."""
        return self._own or None

    def restore(self, state: Weights | None) -> None:
        """Take up c_i."""
        self._own = dict(state or {})

    def _change(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        zero = np.zeros(shape, np.float32)
        return (self._own.get(name, zero) - self._before.get(name, zero)).astype(np.float32)
