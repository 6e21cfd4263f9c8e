"""FedDyn (Acar et al. 2021, arXiv:2111.04263): what each site minimises is changed so that all want the same model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from fedbrats.federation.aggregator import Aggregator, Combined, unweighted_rows
from fedbrats.federation.gates import Contribution
from fedbrats.federation.updates import weighted_mean
from fedbrats.site.hooks.hook import SiteHook
from fedbrats.site.task import RoundTask, Weights

if TYPE_CHECKING:
    from fedbrats.site.local_site import LocalSite


class FedDyn(Aggregator):
    """The plain mean of the models, corrected by h, the sum of all changes so far.

    Args:
        alpha: The strength of the regularisation, at the server and at the sites.
    """

    weighs_by_cases = False

    def __init__(self, alpha: Annotated[float, Field(gt=0, le=100)] = 0.01) -> None:
        self._alpha = alpha
        self._h: dict[str, np.ndarray] = {}  # by name; empty before the first round
        self._sites: set[str] = set()

    def combine(self, contributions: Sequence[Contribution], round_number: int) -> Combined:
        """h - alpha / m * sum(w_i - w), and mean(w_i) - h / alpha."""
        mean = weighted_mean([each.update for each in contributions], [1.0] * len(contributions))
        self._sites |= {each.site for each in contributions}
        share = len(contributions) / len(self._sites)
        self._h = {
            name: (self._h.get(name, 0) - self._alpha * share * value).astype(value.dtype)
            for name, value in mean.items()
        }
        update = {name: (value - self._h[name] / self._alpha).astype(value.dtype) for name, value in mean.items()}
        return Combined(update, unweighted_rows(contributions))

    def tell(self) -> Mapping[str, Any]:
        """The sites' alpha."""
        return {"alpha": self._alpha}

    def state(self) -> Mapping[str, Any]:
        """h and the sites so far."""
        return {"sites": sorted(self._sites), **{f"h.{name}": each for name, each in self._h.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` has kept."""
        self._sites = set(state["sites"])
        self._h = {name.removeprefix("h."): each for name, each in state.items() if name.startswith("h.")}


class FedDynSite(SiteHook):
    """Adds the gradient of alpha / 2 * |w - w_received|^2 - <g_i, w>, where g_i is what the rounds before have left."""

    name = "feddyn"

    def __init__(self) -> None:
        self._alpha = 0.0
        self._gradient: dict[str, np.ndarray] = {}  # g_i by name; empty before the first round
        self._received: Weights = {}
        self._start: dict[str, Tensor] = {}

    def begin_round(self, site: LocalSite, weights: Weights, task: RoundTask) -> Weights:
        """Remember the model and alpha."""
        self._alpha, self._received = float(task.told["alpha"]), weights
        return weights

    def before_steps(self, network: nn.Module) -> None:
        """Remember the weights that the round begins with."""
        self._start = {name: each.detach().clone() for name, each in network.named_parameters()}

    def change_gradient(self, network: nn.Module) -> None:
        """The gradient of the changed objective."""
        for name, parameter in network.named_parameters():
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - self._start[name], alpha=self._alpha)
                if name in self._gradient:
                    parameter.grad.sub_(torch.from_numpy(self._gradient[name]).to(parameter.device))

    def end_round(self, trained: Weights) -> None:
        """g_i - alpha * (w_i - w)."""
        self._gradient = {
            name: (self._gradient.get(name, 0) - self._alpha * (trained[name] - self._received[name])).astype(
                np.float32
            )
            for name in trained
        }

    def state(self) -> Weights | None:
        """g_i."""
        return self._gradient or None

    def restore(self, state: Weights | None) -> None:
        """Take up g_i."""
        self._gradient = dict(state or {})
