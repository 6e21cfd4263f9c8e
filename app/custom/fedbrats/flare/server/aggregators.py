"""The aggregators: what becomes of a round's gated contributions. Each is one short class around a pure function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from nvflare.apis.fl_context import FLContext

from fedbrats.federation.factor.contribution import FactorSettings, Memory, weigh
from fedbrats.federation.gates import Contribution
from fedbrats.federation.robust import coordinate_median, trimmed_mean
from fedbrats.federation.updates import weighted_mean
from fedbrats.flare.server.gated_aggregator import Combined, GatedAggregator
from fedbrats.jobs.settings import check_values


class WeightedFedAvg(GatedAggregator):
    """Federated averaging (McMahan 2017, arXiv:1602.05629), weighted by cases, a fact, not by steps, a setting."""

    def combine(self, contributions: Sequence[Contribution], round_number: int) -> Combined:
        """The mean update weighted by cases to the power `weight_power`."""
        weights = shares_of_cases(contributions, self._averaging.weight_power)
        update = weighted_mean([each.update for each in contributions], list(weights.values()))
        rows = [
            {
                "site": each.site,
                "prior": weights[each.site],
                "weight": weights[each.site],
                "clip_scale": each.clip_scale,
            }
            for each in contributions
        ]
        return Combined(update, rows)


class CoordinateMedian(GatedAggregator):
    """The median of every coordinate over the sites (Yin 2018, arXiv:1803.01498); blind to numbers of cases."""

    weighs_by_cases = False

    def combine(self, contributions: Sequence[Contribution], round_number: int) -> Combined:
        """The median update; no site has a weight that could be told."""
        return Combined(coordinate_median([each.update for each in contributions]), unweighted_rows(contributions))


class TrimmedMean(GatedAggregator):
    """The mean of every coordinate without its extremes (Yin 2018, arXiv:1803.01498).

    Args:
        trim: share of the sites left out at each end.
    """

    weighs_by_cases = False

    def __init__(self, trim: float = 0.2, **gated: Any):
        super().__init__(**gated)
        check_values({"trim": trim})
        self._trim = trim

    def combine(self, contributions: Sequence[Contribution], round_number: int) -> Combined:
        """The trimmed mean update."""
        update = trimmed_mean([each.update for each in contributions], self._trim)
        return Combined(update, unweighted_rows(contributions))


class ContributionFactor(GatedAggregator):
    """Weights by cases, usefulness and stability, with a memory of every site (docs/reference/contribution.md).

    The memory goes through FLARE's persist hooks, which the controller calls: it stands in the server's state with the
    model that belongs to it.

    Args:
        min_clients: quarantine never leaves fewer sites than this.
        factor: the settings of `fedbrats.federation.factor.settings.FactorSettings`.
    """

    def __init__(self, min_clients: int = 1, factor: dict[str, Any] | None = None, **gated: Any):
        settings = FactorSettings.read(factor or {}, "factor")
        super().__init__(**gated)
        self._settings = settings
        self._min_clients = min_clients
        self._memory = Memory()

    def combine(self, contributions: Sequence[Contribution], round_number: int) -> Combined:
        """The mean update weighted by the factor; the memory moves on."""
        weights, traces, self._memory = weigh(
            contributions,
            self._memory,
            round_number,
            self._settings,
            self._min_clients,
            weight_power=self._averaging.weight_power,
        )
        heard = [each for each in contributions if weights[each.site] > 0]
        update = weighted_mean([each.update for each in heard], [weights[each.site] for each in heard])
        return Combined(update, [asdict(trace) for trace in traces])

    def get_persist_state(self, fl_ctx: FLContext) -> dict[str, Any]:
        """FLARE's hook: the memory as JSON."""
        return {"memory": self._memory.to_bytes().decode("utf-8")}

    def restore(self, state_data: dict[str, Any], fl_ctx: FLContext) -> None:
        """FLARE's hook: the memory from JSON."""
        self._memory = Memory.from_bytes(state_data["memory"].encode("utf-8"))


def shares_of_cases(contributions: Sequence[Contribution], power: float = 1.0) -> dict[str, float]:
    """Each site's share of the round's training cases, counted to a power."""
    total = math.fsum(each.cases**power for each in contributions)
    return {each.site: each.cases**power / total for each in contributions}


def unweighted_rows(contributions: Sequence[Contribution]) -> list[dict[str, Any]]:
    """Rows of a rule that gives no site a weight."""
    priors = shares_of_cases(contributions)
    return [{"site": site, "prior": prior, "weight": None} for site, prior in priors.items()]
