"""FedAdam and FedYogi (Reddi et al. 2021, arXiv:2003.00295): the mean update is an adaptive optimiser's gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from fedbrats.federation.aggregator import Aggregator, Combined, shares_of_cases, weighted_rows
from fedbrats.federation.gates import Contribution
from fedbrats.federation.updates import weighted_mean

Share = Annotated[float, Field(ge=0, lt=1)]


class FedAdam(Aggregator):
    """Moves every number by its mean change over the root of its mean squared change.

    Args:
        rate: The server's learning rate.
        beta1: The share of the mean change that is kept from round to round.
        beta2: The share of the mean squared change that is kept from round to round.
        tau: Added to the root, and where the mean squared change begins; small means adaptive.
    """

    def __init__(
        self,
        rate: Annotated[float, Field(gt=0, le=100)] = 0.01,
        beta1: Share = 0.9,
        beta2: Share = 0.99,
        tau: Annotated[float, Field(gt=0, le=10)] = 1e-3,
    ) -> None:
        self._rate, self._beta1, self._beta2, self._tau = rate, beta1, beta2, tau
        self._first: dict[str, np.ndarray] = {}  # mean change by name, float64; empty before the first round
        self._second: dict[str, np.ndarray] = {}  # mean squared change

    def combine(self, contributions: Sequence[Contribution], round_number: int) -> Combined:
        """rate * m / (sqrt(v) + tau)."""
        weights = shares_of_cases(contributions, self.weight_power)
        mean = weighted_mean([each.update for each in contributions], list(weights.values()))
        update = {}
        for name, value in mean.items():
            change = value.astype(np.float64)
            first = self._first.get(name, np.zeros_like(change))
            second = self._second.get(name, np.full_like(change, self._tau**2))
            self._first[name] = self._beta1 * first + (1 - self._beta1) * change
            self._second[name] = self.next_square(second, change**2)
            step = self._rate * self._first[name] / (np.sqrt(self._second[name]) + self._tau)
            update[name] = step.astype(value.dtype)
        return Combined(update, weighted_rows(contributions, weights, self.weight_power))

    def next_square(self, before: np.ndarray, square: np.ndarray) -> np.ndarray:
        """The mean squared change, with this round's."""
        return self._beta2 * before + (1 - self._beta2) * square

    def state(self) -> Mapping[str, Any]:
        """Both means."""
        parts = {"first": self._first, "second": self._second}
        return {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up both means."""
        for part, values in (("first.", self._first), ("second.", self._second)):
            values.update({name.removeprefix(part): each for name, each in state.items() if name.startswith(part)})


class FedYogi(FedAdam):
    """As FedAdam, but the mean squared change moves by no more than this round's square.

    Args:
        rate: The server's learning rate.
        beta1: The share of the mean change that is kept from round to round.
        beta2: The share of the mean squared change that is kept from round to round.
        tau: Added to the root, and where the mean squared change begins; small means adaptive.
    """

    def next_square(self, before: np.ndarray, square: np.ndarray) -> np.ndarray:
        """v - (1 - beta2) * d^2 * sign(v - d^2)."""
        return before - (1 - self._beta2) * square * np.sign(before - square)
