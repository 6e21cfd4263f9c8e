"""A first round of a method and its hooks, played with arrays alone: PyTorch and MONAI take a second each to import."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from fedbrats.errors import UpdateError
from fedbrats.federation.aggregator import Aggregator, combine_safely
from fedbrats.federation.gates import Contribution, Expectation, check
from fedbrats.federation.updates import difference
from fedbrats.site.hooks.hook import SiteHook
from fedbrats.site.local_round import collect_said
from fedbrats.site.task import RoundTask, Weights

STEP_METHODS = ("before_steps", "change_loss", "change_gradient", "after_step")
LENGTH = 1e-3  # of a number of an update that nobody has trained
GAIN = 0.01  # Dice, what its training gained


class NeedsNetworkError(BaseException):  # no Exception: a hook that catches those must not catch this
    """A hook has asked for what only a network has, or a site with its cases."""


class NoSite:
    """Stands for a site until a hook wants to know something of it."""

    def __getattr__(self, name: str) -> Any:
        """Raises NeedsNetworkError, whatever is asked."""
        raise NeedsNetworkError


def play_with_arrays(
    method: Aggregator,
    hooks: Mapping[str, Sequence[SiteHook]],
    cases: Mapping[str, int],
    weights: Weights,
    buffers: Collection[str] = (),
) -> None:
    """The first round of a job of one round, each site's training replaced by small numbers of chance.

    PyTorch is imported where a hook acts in a step.

    Args:
        hooks: of each site.
        cases: of each site.
        weights: of the job's network.
        buffers: which of them are no parameters.

    Raises: UpdateError where a gate refuses what a site sends, or the method fails; NeedsNetworkError; and what a hook
        raises.
    """
    told = dict(method.tell())
    expected = Expectation({name: value.shape for name, value in weights.items()}, 0)
    contributions = []
    for site, own in hooks.items():
        update, said = _answer(site, own, RoundTask(weights, 0, 1, told=told), buffers)
        contribution = Contribution(site, 0, cases[site], 1, update, GAIN, said=said)
        if refusal := check(contribution, expected, set(), method.hears):
            raise UpdateError(refusal.message)
        contributions.append(contribution)
    combine_safely(method, contributions, 0)


def _answer(
    name: str, hooks: Sequence[SiteHook], task: RoundTask, buffers: Collection[str]
) -> tuple[Weights, dict[str, Any]]:
    """(the update, what the site says), with the hooks in the order of `LocalRound`."""
    site: Any = NoSite()
    start = task.weights
    for hook in hooks:
        hook.restore(None)
    for hook in hooks:
        start = hook.begin_round(site, start, task)
    _require_fit(start, task.weights)
    trained = _train(site, hooks, start, task, np.random.default_rng(zlib.crc32(name.encode())), buffers)
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


def _require_fit(start: Weights, expected: Weights) -> None:
    """Raise UpdateError where `begin_round` has made something else of the weights than the network has."""
    for name in {**expected, **start}:
        shapes = [np.shape(each[name]) if name in each else "no such weight" for each in (start, expected)]
        if shapes[0] != shapes[1]:
            raise UpdateError(f"begin_round gives {name} as {shapes[0]}, expected {shapes[1]}")


def _train(
    site: Any,
    hooks: Sequence[SiteHook],
    start: Weights,
    task: RoundTask,
    rng: np.random.Generator,
    buffers: Collection[str],
) -> Weights:
    """The weights after training from `start`: moved by chance, in steps where a hook acts in them."""
    for hook in hooks:
        if hook.train(site, task, hooks, lambda: False) is not None:
            raise NeedsNetworkError  # it has trained without its site, and only a round of the site can tell
    moved = {key: value + LENGTH * rng.standard_normal(value.shape).astype(value.dtype) for key, value in start.items()}
    if not any(map(_acts_in_steps, hooks)):
        return moved
    from fedbrats.extensions.step_trial import play_steps

    return play_steps(hooks, start, moved, buffers)


def _acts_in_steps(hook: SiteHook) -> bool:
    return any(getattr(type(hook), name) is not getattr(SiteHook, name) for name in STEP_METHODS)
