"""Federated averaging (McMahan et al. 2017, arXiv:1602.05629), weighted by cases, a fact, not by steps, a setting."""

from __future__ import annotations

from collections.abc import Sequence

from fedbrats.federation.aggregator import Aggregator, Combined, shares_of_cases, weighted_rows
from fedbrats.federation.gates import Contribution
from fedbrats.federation.updates import weighted_mean


class WeightedFedAvg(Aggregator):
    """The mean update, weighted by cases."""

    def combine(self, contributions: Sequence[Contribution], round_number: int) -> Combined:
        """The mean update weighted by cases to the power `weight_power`."""
        weights = shares_of_cases(contributions, self.weight_power)
        update = weighted_mean([each.update for each in contributions], list(weights.values()))
        return Combined(update, weighted_rows(contributions, weights, self.weight_power))
