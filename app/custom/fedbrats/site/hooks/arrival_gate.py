"""The gate on what arrives: a site trains from no model that it would not have got from an honest server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fedbrats.privacy.arrivals import Arrivals, ArrivedModelError
from fedbrats.site.hooks.hook import SiteHook
from fedbrats.site.task import RoundTask, Weights

if TYPE_CHECKING:
    from fedbrats.site.local_site import LocalSite


class ArrivalGate(SiteHook):
    """Judges every model before the other hooks see it; a refusal is a row at the site and ends the task."""

    name = "arrivals"

    def __init__(self) -> None:
        self._arrivals: Arrivals | None = None
        self._state: Weights | None = None

    def begin_round(self, site: LocalSite, weights: Weights, task: RoundTask) -> Weights:
        """Let a model in. Raises: ArrivedModelError."""
        try:
            self._of(site).judge_model(weights, task.round_number, task.total_rounds)
        except ArrivedModelError as error:
            site.record_refusal(task.round_number, str(error))
            raise
        return weights

    def change_update(self, update: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Learn how long an honest move is; the first of the hooks sees all of it."""
        if self._arrivals:
            self._arrivals.learn_own(update)
        return update

    def evaluated_model(self, site: LocalSite, weights: Weights) -> Weights:
        """Let a model in that is evaluated. Raises: ArrivedModelError."""
        try:
            self._of(site).judge_evaluation(weights)
        except ArrivedModelError as error:
            site.record_refusal(None, str(error))
            raise
        return weights

    def state(self) -> Weights | None:
        """The last model, and how far models have moved."""
        return self._arrivals.state() if self._arrivals else None

    def restore(self, state: Weights | None) -> None:
        """Take up the last model."""
        self._state = state
        if self._arrivals:
            self._arrivals.restore(state)

    def _of(self, site: LocalSite) -> Arrivals:
        if self._arrivals is None:
            weights = site.trainer.network.state_dict()
            self._arrivals = Arrivals({name: tuple(value.shape) for name, value in weights.items()})
            self._arrivals.restore(self._state)
        return self._arrivals
