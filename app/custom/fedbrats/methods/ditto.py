"""Ditto (Li et al. 2021, arXiv:2012.04221): beside the common model, each site trains one of its own, held near it.

The server's method is FedAvg. After a round's common steps a site makes as many steps on its own model, with a new
optimiser. The last evaluation is of the sites' own models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import nn

from fedbrats.model.training.hooks import StepHook
from fedbrats.model.training.optimisation import Optimisation
from fedbrats.site.hooks.hook import SiteHook
from fedbrats.site.task import RoundTask, Weights

if TYPE_CHECKING:
    from fedbrats.site.local_site import LocalSite


class Ditto(SiteHook):
    """Trains the site's own model.

    Args:
        pull: How strongly the site's own model is held near the common one (the paper's lambda).
    """

    name = "ditto"
    keeps_latest = True

    def __init__(self, pull: Annotated[float, Field(ge=0, le=1000)] = 0.1) -> None:
        self._pull = pull
        self._own: Weights | None = None  # None before the first round
        self._site: LocalSite | None = None
        self._task: RoundTask | None = None

    def begin_round(self, site: LocalSite, weights: Weights, task: RoundTask) -> Weights:
        """Remember the common model, to which the site's own is held."""
        self._site, self._task = site, task
        return weights

    def end_round(self, trained: Weights) -> None:
        """Train the own model, and leave the trainer as it was."""
        assert self._site is not None
        assert self._task is not None
        trainer, common = self._site.trainer, self._task.weights
        shared = trainer.optimisation
        trainer.set_weights(self._own or common)
        trainer.optimisation = Optimisation(trainer.network, trainer.settings, trainer.device, scaled=False)
        try:
            trainer.train_round(
                self._task.round_number,
                self._task.total_rounds,
                hooks=[PullTo(common, self._pull)],
                repeat=self._task.repeat,
            )
            self._own = trainer.get_weights()
        finally:
            trainer.optimisation = shared
            trainer.set_weights(trained)

    def evaluated_model(self, site: LocalSite, weights: Weights) -> Weights:
        """The own model, where the site has one."""
        return self._own or weights

    def state(self) -> Weights | None:
        """The own model."""
        return self._own

    def restore(self, state: Weights | None) -> None:
        """Take up the own model."""
        self._own = state


class PullTo(StepHook):
    """Adds the gradient of pull / 2 * |w - common|^2.

    Args:
        common: weights by name.
        pull: how strong.
    """

    def __init__(self, common: Weights, pull: float) -> None:
        self._common = common
        self._pull = pull

    def change_gradient(self, network: nn.Module) -> None:
        """Pull every parameter."""
        for name, parameter in network.named_parameters():
            if parameter.grad is not None:
                common = torch.from_numpy(self._common[name]).to(parameter.device)
                parameter.grad.add_(parameter.detach() - common, alpha=self._pull)
