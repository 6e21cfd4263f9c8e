"""FedRep (Collins et al. 2021, arXiv:2102.07078): a round trains the site's own head first, then the shared body.

The job keeps the head at the sites (`personal`); the server's method is FedAvg on the body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field
from torch import nn

from fedbrats.site.hooks.hook import SiteHook
from fedbrats.site.task import RoundTask, Weights

if TYPE_CHECKING:
    from fedbrats.site.local_site import LocalSite


class HeadThenBody(SiteHook):
    """Trains one part of the network at a time.

    Args:
        head_share: The share of a round's steps that train the head; the others train the body.
        head: The part that is trained first, as the variable `personal` names it.
    """

    name = "fedrep"

    def __init__(self, head_share: Annotated[float, Field(gt=0, lt=1)] = 0.5, head: str = "head") -> None:
        self._share = head_share
        self._kind = head
        self._head: frozenset[str] = frozenset()
        self._head_steps = 0
        self._done = 0

    def begin_round(self, site: LocalSite, weights: Weights, task: RoundTask) -> Weights:
        """Count how many steps the head has."""
        trainer = site.trainer
        self._head = frozenset(trainer.network.personal_names(self._kind))
        self._head_steps = max(1, round(self._share * trainer.settings.steps_per_round(trainer.usable_training_cases)))
        return weights

    def before_steps(self, network: nn.Module) -> None:
        """No step yet."""
        self._done = 0

    def change_gradient(self, network: nn.Module) -> None:
        """Leave a gradient to one part alone: without one, the optimiser does not move a weight."""
        trains_head = self._done < self._head_steps
        for name, parameter in network.named_parameters():
            if (name in self._head) != trains_head:
                parameter.grad = None
        self._done += 1
