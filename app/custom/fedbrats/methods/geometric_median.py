"""Geometric median (RFA; Pillutla et al. 2022, arXiv:1912.13445): the point with the least sum of distances to updates.

The smoothed Weiszfeld algorithm: a mean is weighed anew by one over its distance to each update, some times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from fedbrats.federation.aggregator import Aggregator, Combined, shares_of_cases, weighted_rows
from fedbrats.federation.gates import Contribution
from fedbrats.federation.updates import difference, norm, weighted_mean

SMALLEST = 1e-6  # of a distance, as a share of the median: one over none would be infinite


class GeometricMedian(Aggregator):
    """The geometric median of the updates, weighted by cases.

    Args:
        iterations: How often the mean is weighed anew; the paper takes three, or more at a server with time.
    """

    def __init__(self, iterations: Annotated[int, Field(ge=1, le=1000)] = 20) -> None:
        self._iterations = iterations

    def combine(self, contributions: Sequence[Contribution], round_number: int) -> Combined:
        """The geometric median, and the weights that make it of the updates."""
        shares = list(shares_of_cases(contributions, self.weight_power).values())
        updates = [each.update for each in contributions]
        weights = shares
        for _ in range(self._iterations):
            centre = weighted_mean(updates, weights)
            distances = [norm(difference(update, centre)) for update in updates]
            least = SMALLEST * max(float(np.median(distances)), SMALLEST * max(distances))
            if least == 0:
                break
            weights = [share / max(distance, least) for share, distance in zip(shares, distances, strict=True)]
        total = sum(weights)
        by_site = {each.site: weight / total for each, weight in zip(contributions, weights, strict=True)}
        update = weighted_mean(updates, weights)
        return Combined(update, weighted_rows(contributions, by_site, self.weight_power))
