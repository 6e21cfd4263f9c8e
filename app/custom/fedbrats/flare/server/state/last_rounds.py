"""The model that a federation ends with: the mean over its last rounds, part of the way back to its start.

The mean takes out what single rounds jump (Izmailov 2018, arXiv:1803.05407). A model between start and end keeps what
the start knew of patients that few hospitals have (Wortsman 2022, arXiv:2109.01903).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fedbrats.errors import ConfigurationError
from fedbrats.federation.averaging import Averaging
from fedbrats.federation.updates import Update

START, SUM = "start", "last_rounds"  # of what a server keeps
Weights = dict[str, np.ndarray]


class LastRounds:
    """Collects the global models of the last shared rounds, and makes the final one of them.

    Args:
        settings: `averaged_rounds` and `pull_back` of it count.
        last: the number of the last round in which the sites share anything.
    """

    def __init__(self, settings: Averaging, last: int) -> None:
        self._settings = settings
        self._last = last
        self._kept: dict[str, Weights] = {}

    def begin(self, weights: Update) -> None:
        """Remember the first weights of the job, where they are needed at its end."""
        if self._settings.pull_back:
            self._kept[START] = {name: np.array(value) for name, value in weights.items()}

    def after_round(self, number: int, weights: Update) -> Weights | None:
        """The final model after the last shared round; None after every other round, or where nothing is to be done.

        Raises: ConfigurationError where the start is not known, as after a resume of a job that kept none.
        """
        first = self._last - self._settings.averaged_rounds + 1
        if (
            number > self._last
            or number < first
            or (self._settings.averaged_rounds == 1 and not self._settings.pull_back)
        ):
            return None
        if number == first:
            self._kept.pop(SUM, None)
        before = self._kept.get(SUM, {})
        total = {name: np.asarray(value, np.float64) + before.get(name, 0.0) for name, value in weights.items()}
        self._kept[SUM] = total
        if number < self._last:
            return None
        share = self._settings.pull_back
        if share and START not in self._kept:
            raise ConfigurationError(
                f"pull_back is {share}, and the job that this one goes on from has kept no first weights; set it to 0"
            )
        rounds = min(self._settings.averaged_rounds, self._last + 1)
        final = {name: value / rounds for name, value in total.items()}
        if share:
            start = self._kept[START]
            final = {name: (1 - share) * value + share * start[name] for name, value in final.items()}
        return {name: value.astype(np.asarray(weights[name]).dtype) for name, value in final.items()}

    def as_stored(self) -> dict[str, Weights]:
        """What a restart needs, by kind."""
        return dict(self._kept)

    def take(self, kept: Mapping[str, Weights]) -> None:
        """Go on with what was stored."""
        self._kept = {kind: dict(kept[kind]) for kind in (START, SUM) if kind in kept}
