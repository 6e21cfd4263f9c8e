"""Only the largest changes travel; the others wait at the site (Aji and Heafield 2017, arXiv:1704.05021)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from fedbrats.federation.said import Said, SaidNumber
from fedbrats.methods.fedavg import WeightedFedAvg
from fedbrats.site.hooks.hook import SiteHook

if TYPE_CHECKING:  # a job is checked without PyTorch, where that is enough
    from torch import nn

    from fedbrats.site.local_site import LocalSite
    from fedbrats.site.task import RoundTask, Weights


class MyHook(SiteHook):
    """Sends a share of each array's numbers, the largest, and adds the others to the next round's update.

    Args:
        share: The share of the numbers that travels in a round.
    """

    name = "my_hook"
    says: ClassVar[Mapping[str, Said]] = {
        "gradient": SaidNumber("the mean length of a step's gradient", least=0, most=1e6)
    }

    def __init__(self, share: Annotated[float, Field(gt=0, le=1)] = 0.1) -> None:
        self._share = share
        self._waiting: dict[str, np.ndarray] = {}  # by name; empty before the first round
        self._lengths: list[float] = []  # of the gradient in every step of the round

    def begin_round(self, site: LocalSite, weights: Weights, task: RoundTask) -> Weights:
        """The weights as they came; no step has been made."""
        self._lengths = []
        return weights

    def change_gradient(self, network: nn.Module) -> None:
        """Measure the gradient of a step, and leave it as it is."""
        found = (each.grad for each in network.parameters() if each.grad is not None)
        self._lengths.append(math.hypot(*(float(gradient.norm()) for gradient in found)))

    def change_update(self, update: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The largest changes, with those that waited; the others wait."""
        whole = {name: value + self._waiting.get(name, 0) for name, value in update.items()}
        sent = {name: self._largest(value) for name, value in whole.items()}
        self._waiting = {name: (value - sent[name]).astype(value.dtype) for name, value in whole.items()}
        return sent

    def say(self) -> Mapping[str, Any]:
        """What `says` declares; the site's row in rows.jsonl has it."""
        return {"gradient": sum(self._lengths) / max(1, len(self._lengths))}

    def state(self) -> Mapping[str, np.ndarray] | None:
        """What waits: without it, a site that is restarted would lose it."""
        return self._waiting or None

    def restore(self, state: Mapping[str, np.ndarray] | None) -> None:
        """Take up what waits; None before the first round."""
        self._waiting = dict(state or {})

    def _largest(self, value: np.ndarray) -> np.ndarray:
        count = max(1, round(self._share * value.size))
        least = np.partition(np.abs(value).ravel(), -count)[-count]
        return np.where(np.abs(value) >= least, value, 0).astype(value.dtype)


class MyHookMean(WeightedFedAvg):
    """FedAvg that hears what the hook says: its `combine` could read `each.said["gradient"]` of a contribution."""

    hears = MyHook.says
