"""What FedCE asks of a site: how well the model does without it (Jiang et al. 2023, arXiv:2303.16520)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedbrats.federation.leave_one_out import leave_out, own_weight
from fedbrats.site.hooks.hook import SiteHook
from fedbrats.site.task import RoundTask, Weights

if TYPE_CHECKING:
    from fedbrats.site.local_site import LocalSite


class MinusScore(SiteHook):
    """Evaluates the received model without this site's share of it, before the round is trained."""

    name = "trained"

    def __init__(self) -> None:
        self._trained: Weights | None = None  # of the round before
        self._score: float | None = None

    def begin_round(self, site: LocalSite, weights: Weights, task: RoundTask) -> Weights:
        """Measure 1 - Dice; nothing is measured while there is no share yet to leave out."""
        self._score = None
        weight = own_weight(task.shares, site.name)
        if weight is not None and self._trained is not None:
            site.trainer.set_weights(leave_out(weights, self._trained, weight))
            metrics = site.metrics(site.evaluate())
            self._score = None if metrics is None else 1.0 - metrics["dice"]["mean"]
        return weights

    def end_round(self, trained: Weights) -> None:
        """Remember what this site contributes to the next model."""
        self._trained = trained

    def report(self) -> dict[str, Any]:
        """The score."""
        return {"minus_score": self._score}

    def state(self) -> Weights | None:
        """The weights after the last round."""
        return self._trained

    def restore(self, state: Weights | None) -> None:
        """Take up the weights after a round."""
        self._trained = state
