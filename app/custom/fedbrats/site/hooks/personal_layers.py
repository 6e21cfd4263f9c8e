"""Weights that stay at the site: personal layers in every round, and everything in personal rounds at the end.

FedPer: Arivazhagan et al. 2019 (arXiv:1912.00818). FedBN: Li et al. 2021 (arXiv:2102.07623). Fine-tuning: Wang et al.
2019 (arXiv:1910.10252).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedbrats.federation.sharing import keep_personal, merge, personal_at_last, personal_in_round, split_names
from fedbrats.site.hooks.hook import SiteHook
from fedbrats.site.task import RoundTask, Weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedbrats.site.local_site import LocalSite


class PersonalLayers(SiteHook):
    """Puts the site's personal weights into the model that it receives.

    The site's filters take them out of the update: the round does not rely on it.

    Args:
        personal: which names stay at this site: `none`, `head`, `decoder`, `norm`, `all`, or prefixes ending at a dot.
        personal_rounds: in so many last rounds all names stay, and each site fits the model to its own cases.
    """

    name = "personal"
    keeps_latest = True

    def __init__(self, personal: str, personal_rounds: int) -> None:
        self._personal = personal
        self._personal_rounds = personal_rounds
        self._names: tuple[str, ...] = ()  # those of the round that runs
        self._fitted = False
        self._mine: Weights | None = None  # None before this site has any

    def begin_round(self, site: LocalSite, weights: Weights, task: RoundTask) -> Weights:
        """The received shared weights with the site's personal ones."""
        kind = personal_in_round(self._personal, self._personal_rounds, task.round_number, task.total_rounds)
        self._names = site.trainer.network.personal_names(kind)
        self._fitted = task.round_number > task.total_rounds - self._personal_rounds
        return self._own_model(weights, self._names)

    def end_round(self, trained: Weights) -> None:
        """Keep the personal part of the trained model."""
        self._mine = keep_personal(trained, self._names) or None

    def report(self) -> dict[str, Any]:
        """Whether the round began with a model that the site had already fitted to its own cases."""
        return {"fitted": self._fitted}

    def evaluated_model(self, site: LocalSite, weights: Weights) -> Weights:
        """The server's model with the personal weights that the job ends with."""
        kind = personal_at_last(self._personal, self._personal_rounds)
        return self._own_model(weights, site.trainer.network.personal_names(kind))

    def state(self) -> Weights | None:
        """The personal weights."""
        return self._mine

    def restore(self, state: Weights | None) -> None:
        """Take up personal weights."""
        self._mine = state

    def _own_model(self, received: Weights, patterns: Sequence[str]) -> Weights:
        """What has only now become personal begins as received."""
        shared, personal = split_names(received, patterns)
        known = {**received, **(self._mine or {})}
        return merge({name: received[name] for name in shared}, {name: known[name] for name in personal}, received)
