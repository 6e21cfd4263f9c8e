"""Coordinate-wise median and trimmed mean (Yin et al. 2018, arXiv:1803.01498); blind to numbers of cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from fedbrats.federation.aggregator import Aggregator, Combined, unweighted_rows
from fedbrats.federation.gates import Contribution
from fedbrats.federation.robust import coordinate_median, trimmed_mean
from fedbrats.jobs.settings import check_values


class CoordinateMedian(Aggregator):
    """The median of every coordinate over the sites."""

    weighs_by_cases = False

    def combine(self, contributions: Sequence[Contribution], round_number: int) -> Combined:
        """The median update; no site has a weight that could be told."""
        return Combined(coordinate_median([each.update for each in contributions]), unweighted_rows(contributions))


class TrimmedMean(Aggregator):
    """The mean of every coordinate without its extremes.

    Args:
        trim: The share of the sites that is left out at each end of every coordinate.
    """

    weighs_by_cases = False

    def __init__(self, trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.2):
        check_values({"trim": trim})
        self._trim = trim

    def combine(self, contributions: Sequence[Contribution], round_number: int) -> Combined:
        """The trimmed mean update."""
        update = trimmed_mean([each.update for each in contributions], self._trim)
        return Combined(update, unweighted_rows(contributions))
