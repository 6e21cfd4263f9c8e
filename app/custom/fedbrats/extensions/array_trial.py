"""A first round of a method whose hooks change no step, played with arrays alone: PyTorch takes seconds to import."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fedbrats.errors import UpdateError
from fedbrats.federation.aggregator import Aggregator, combine_safely
from fedbrats.federation.gates import Contribution, Expectation, check
from fedbrats.federation.updates import difference
from fedbrats.site.hooks.hook import SiteHook
from fedbrats.site.local_round import collect_said
from fedbrats.site.task import RoundTask

STEPS = ("train", "before_steps", "change_loss", "change_gradient", "after_step")
LENGTH = 1e-3  # of a number of an update that nobody has trained
GAIN = 0.01  # Dice, what its training gained


class NeedsNetworkError(BaseException):  # no Exception: a hook that catches those must not catch this
    """A hook has asked for its site, which has a network and cases."""


class NoSite:
    """Stands for a site until a hook wants to know something of it."""

    def __getattr__(self, name: str) -> Any:
        """Raises NeedsNetworkError, whatever is asked."""
        raise NeedsNetworkError


def changes_steps(hook: SiteHook) -> bool:
    """Whether a hook changes what happens between two sets of weights, so that it needs a network."""
    return any(getattr(type(hook), name) is not getattr(SiteHook, name) for name in STEPS)


def play_with_arrays(
    method: Aggregator, hooks: Mapping[str, Sequence[SiteHook]], cases: Mapping[str, int], weights: dict[str, Any]
) -> None:
    """The first round of a job of one round, each site's training replaced by small numbers of chance.

    Args:
        hooks: of each site, none of which changes steps.
        cases: of each site.
        weights: of the job's network.

    Raises: UpdateError where a gate refuses what a site sends, or the method fails; NeedsNetworkError; and what a hook
        raises.
    """
    told = dict(method.tell())
    expected = Expectation({name: value.shape for name, value in weights.items()}, 0)
    contributions = []
    for site, own in hooks.items():
        update, said = _answer(site, own, RoundTask(weights, 0, 1, told=told))
        contribution = Contribution(site, 0, cases[site], 1, update, GAIN, said=said)
        if refusal := check(contribution, expected, set(), method.hears):
            raise UpdateError(refusal.message)
        contributions.append(contribution)
    combine_safely(method, contributions, 0)


def _answer(name: str, hooks: Sequence[SiteHook], task: RoundTask) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(the update, what the site says), with the hooks in the order of `LocalRound`."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    site: Any = NoSite()
    start = task.weights
    for hook in hooks:
        start = hook.begin_round(site, start, task)
    trained = {
        key: value + LENGTH * rng.standard_normal(value.shape).astype(value.dtype) for key, value in start.items()
    }
    for hook in hooks:
        hook.end_round(trained)
    update = difference(trained, start)
    for hook in hooks:
        update = hook.change_update(update)
    for hook in hooks:
        hook.state()
        hook.report()
    said = collect_said(hooks, update)
    return update, {key: value for part in said.values() for key, value in part.items()}
