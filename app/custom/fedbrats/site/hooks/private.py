"""Differential privacy at a site: private steps in place of the trainer's own, paid for before their update leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fedbrats.errors import ConfigurationError
from fedbrats.model.training.private import train_privately
from fedbrats.privacy.noise import SecretRandom
from fedbrats.privacy.settings import PrivacySettings
from fedbrats.site.hooks.hook import SiteHook
from fedbrats.site.privacy_account import PrivacyAccount, refuse_open_training
from fedbrats.site.task import RoundTask, Weights

if TYPE_CHECKING:
    from fedbrats.model.training.trainer import TrainOutcome
    from fedbrats.site.local_site import LocalSite


class PrivateTraining(SiteHook):
    """Trains by noisy sums over patients and tells nothing else that was computed on them.

    The loss, the Dice, the seconds and the hash of the datalist stay at the site; the number of cases that it tells is
    the one of its datalist, which is taken for public.

    Args:
        account: where the rounds are paid for.
        random: of tests; None draws a key for each round from the operating system.
    """

    name = "private"
    tells_metrics = False

    def __init__(self, settings: PrivacySettings, account: PrivacyAccount, random: SecretRandom | None = None) -> None:
        self._settings = settings
        self._account = account
        self._random = random
        self._round, self._steps = 0, 0

    def begin_round(self, site: LocalSite, weights: Weights, task: RoundTask) -> Weights:
        """Refuse before anything is trained what the hospital's budget does not allow, for all rounds to come."""
        self._round, self._steps = task.round_number, site.trainer.settings.local_steps
        self._account.refuse_over_budget(task.total_rounds - task.round_number, self._steps)
        return weights

    def train(
        self, site: LocalSite, task: RoundTask, hooks: Sequence[SiteHook], should_stop: Callable[[], bool]
    ) -> TrainOutcome:
        """Private steps."""
        return train_privately(
            site.trainer,
            self._settings,
            task.round_number,
            task.total_rounds,
            self._random or SecretRandom(),
            hooks=hooks,
            should_stop=should_stop,
        )

    def change_update(self, update: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Pay for the round; an update that is not paid for does not leave."""
        self._account.charge(self._round, self._steps)
        return update

    def report(self) -> dict[str, Any]:
        """What stays at the site, taken out."""
        return dict.fromkeys(("loss", "seconds", "manifest", "spacing_mm", "rejected_cases", "validation_cases"))


def choose_private(site: LocalSite, settings: PrivacySettings, job_id: str) -> PrivateTraining | None:
    """The private steps of a job, or None where it trains without differential privacy.

    Raises: ConfigurationError where the site has a budget that such a job would break, or cannot count what it costs.
    """
    if settings.dp_epsilon is not None:
        raise ConfigurationError(
            "the job asks for dp_epsilon and says no dp_noise that follows from it; build it with `fedbrats job build`"
        )
    if settings.dp_noise is None:
        refuse_open_training(site.facts, site.name)
        return None
    patients = [case.patient for case in site.trainer.training]
    return PrivateTraining(settings, PrivacyAccount(site.facts, site.name, job_id, settings, patients))
