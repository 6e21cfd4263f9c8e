"""Multi-Krum (Blanchard et al. 2017, NeurIPS 30): the mean of those updates that lie closest to most others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from fedbrats.federation.aggregator import Aggregator, Combined, weighted_rows
from fedbrats.federation.gates import Contribution
from fedbrats.federation.updates import difference, norm, weighted_mean


class MultiKrum(Aggregator):
    """The plain mean of all but `bad` updates: those with the smallest sums of squared distances to their neighbours.

    Args:
        bad: How many sites may be bad; of n sites, less than n / 2 - 1 are believed to be, however large this is.
    """

    weighs_by_cases = False

    def __init__(self, bad: Annotated[int, Field(ge=0, le=1000)] = 1) -> None:
        self._bad = bad

    def combine(self, contributions: Sequence[Contribution], round_number: int) -> Combined:
        """The mean of the chosen; the others have the weight 0."""
        updates = [each.update for each in contributions]
        count = len(updates)
        bad = min(self._bad, max(0, (count - 3) // 2))  # 2 * bad + 2 < n, as the paper asks
        squares = np.zeros((count, count))
        for one in range(count):
            for other in range(one):
                squares[one, other] = squares[other, one] = norm(difference(updates[one], updates[other])) ** 2
        neighbours = max(1, count - bad - 2)
        scores = np.sort(squares, axis=1)[:, 1 : 1 + neighbours].sum(axis=1)  # the first is the distance to itself
        chosen = sorted(np.argsort(scores, kind="stable")[: count - bad])
        weights = {each.site: 0.0 for each in contributions}
        weights |= {contributions[index].site: 1.0 / len(chosen) for index in chosen}
        update = weighted_mean([updates[index] for index in chosen], [1.0] * len(chosen))
        return Combined(update, weighted_rows(contributions, weights))
