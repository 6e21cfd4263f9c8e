"""Momentum on the server (FedAvgM; Hsu et al. 2019, arXiv:1909.06335)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from fedbrats.federation.aggregator import Aggregator, Combined, shares_of_cases, weighted_rows
from fedbrats.federation.gates import Contribution
from fedbrats.federation.updates import weighted_mean


class MyMethod(Aggregator):
    """Adds a share of the last step to every step.

    Args:
        momentum: The share of the last step.
    """

    def __init__(self, momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9) -> None:
        self._momentum = momentum
        self._last: dict[str, np.ndarray] = {}  # the last step, by name; empty before the first

    def combine(self, contributions: Sequence[Contribution], round_number: int) -> Combined:
        """The mean update, weighted by cases, and a share of the last step."""
        shares = shares_of_cases(contributions, self.weight_power)
        mean = weighted_mean([each.update for each in contributions], list(shares.values()))
        step = {name: value + self._momentum * self._last.get(name, 0) for name, value in mean.items()}
        self._last = {name: value.astype(mean[name].dtype) for name, value in step.items()}
        return Combined(self._last, weighted_rows(contributions, shares, self.weight_power))

    def state(self) -> Mapping[str, Any]:
        """The last step: without it, a job that is resumed would go on as if it stood still."""
        return self._last

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up the last step."""
        self._last = dict(state)
