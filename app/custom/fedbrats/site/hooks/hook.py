"""The places of a local round where a method may act."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from fedbrats.errors import ConfigurationError
from fedbrats.federation.said import Said
from fedbrats.model.training.hooks import StepHook
from fedbrats.site.task import RoundTask, Weights

if TYPE_CHECKING:
    from fedbrats.model.training.trainer import TrainOutcome
    from fedbrats.site.local_site import LocalSite


class SiteHook(StepHook):
    """A method's part at a site; every method does nothing unless it is overridden.

    One of your own is a subclass in a package of your own (docs/guide/own-method.md). The arguments of its constructor
    are its settings. A round calls them in this order: `restore` where the site was restarted, `begin_round`, `train`,
    the methods of StepHook while it trains, `end_round`, `change_update`, `state`, `report`, `say`.

    Attributes:
        name: of the file, NAME.npz, in which its state is kept after every round.
        keeps_latest: whether the state of the last round is also kept beside the rounds, for the site's gate and for
            later jobs.
        tells_metrics: whether the site may tell how good a model of this job is on its cases.
        says: what `say` returns, by name; the method's Aggregator declares the same as `hears`.
    """

    name: ClassVar[str]
    keeps_latest: ClassVar[bool] = False
    tells_metrics: ClassVar[bool] = True
    says: ClassVar[Mapping[str, Said]] = {}

    def __new__(cls, *arguments: Any, **more: Any) -> Self:
        """Raises ConfigurationError for a class without a name."""
        if not hasattr(cls, "name"):
            raise ConfigurationError(
                f'the hook {cls.__name__} has no name; write name = "..." in the class, of lower letters, digits and '
                f"_: its state is kept under it"
            )
        return super().__new__(cls)

    def begin_round(self, site: LocalSite, weights: Weights, task: RoundTask) -> Weights:
        """The weights that the round begins with, given those that were received or that a hook before made of them."""
        return weights

    def train(
        self, site: LocalSite, task: RoundTask, hooks: Sequence[SiteHook], should_stop: Callable[[], bool]
    ) -> TrainOutcome | None:
        """Train the round in place of the trainer's own steps; None leaves it to them. `hooks` are all of the job."""
        return None

    def end_round(self, trained: Weights) -> None:
        """The round has ended with these weights."""

    def change_update(self, update: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The update that the site answers with."""
        return update

    def report(self) -> dict[str, Any]:
        """Entries of `SiteReport` that this method adds."""
        return {}

    def say(self) -> Mapping[str, Any]:
        """What the site says besides its update and its report, as `says` declares it."""
        return {}

    def evaluated_model(self, site: LocalSite, weights: Weights) -> Weights:
        """The weights that are evaluated at the end of the job, given those of the server."""
        return weights

    def state(self) -> Weights | None:
        """Arrays without which the next round would not have the same bits; None where there are none."""
        return None

    def restore(self, state: Weights | None) -> None:
        """Be as after the round that `state` is of; None before the first."""
