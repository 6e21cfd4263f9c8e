"""The Contribution Factor (docs/reference/contribution.md): weights by cases, alignment and usefulness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import Field

from fedbrats.federation.aggregator import Aggregator, Combined
from fedbrats.federation.factor.contribution import FactorSettings, Memory, weigh
from fedbrats.federation.gates import Contribution
from fedbrats.federation.updates import weighted_mean


class ContributionFactor(Aggregator):
    """Weights by the Contribution Factor, with a memory of every site.

    Args:
        min_clients: Quarantine never leaves fewer sites than this.
        factor: Constants of the Contribution Factor that differ from their defaults, by name.
    """

    def __init__(self, min_clients: Annotated[int, Field(ge=1, le=10_000)] = 1, factor: dict[str, Any] | None = None):
        self._settings = FactorSettings.read(factor or {}, "factor")
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
            weight_power=self.weight_power,
        )
        heard = [each for each in contributions if weights[each.site] > 0]
        update = weighted_mean([each.update for each in heard], [weights[each.site] for each in heard])
        return Combined(update, [asdict(trace) for trace in traces])

    def state(self) -> Mapping[str, Any]:
        """The memory, as text."""
        return {"memory": self._memory.to_bytes().decode("utf-8")}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up the memory."""
        self._memory = Memory.from_bytes(state["memory"].encode("utf-8"))
