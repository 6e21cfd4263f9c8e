"""Try a method of one's own in seconds, without FLARE: two sites of synthetic cases, and every promise that it made.

For the tests of a package of one's own: `fedbrats new method NAME` writes one that uses this.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedbrats.array_files import read_arrays, write_arrays
from fedbrats.errors import ConfigurationError, FedbratsError, UpdateError
from fedbrats.extensions.state import check_state
from fedbrats.federation.aggregator import Aggregator, combine_safely
from fedbrats.federation.gates import Contribution, Expectation, check

if TYPE_CHECKING:
    from torch import nn

    from fedbrats.site.hooks.hook import SiteHook
    from fedbrats.site.local_site import LocalSite

Weights = dict[str, np.ndarray]
SITES = {"site-1": 3, "site-2": 2}  # training cases
TINY = {"preset": "tiny"}
SIDE = 16  # voxels of a case's sides


def try_method(
    aggregator: Callable[[], Aggregator], hooks: Sequence[Callable[[], SiteHook]] = (), rounds: int = 3
) -> list[Weights]:
    """Run a method for some rounds; then again, with server and sites restarted after every round.

    Args:
        aggregator: makes the method of the server.
        hooks: make what the method changes at a site.

    Returns: the global model after every round, by name.

    Raises: UpdateError where a gate refuses what a site sends, an update holds NaN, or the restarted run differs in one
        bit: then `state` lacks something that a round needs. ConfigurationError for a state that cannot be kept.
    """
    first, _ = _first_weights(TINY)
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fedbrats-try-"))) for _ in range(2)]
        steady, restarted = (
            _run(aggregator, hooks, first, rounds, folder, restarts)
            for folder, restarts in zip(folders, (False, True), strict=True)
        )
    for number, (one, other) in enumerate(zip(steady, restarted, strict=True)):
        if different := [name for name in one if not np.array_equal(one[name], other[name])]:
            raise UpdateError(
                f"after a restart, round {number} has other bits ({different[0]}): something that a round needs of "
                f"those before is not in `state`, or `restore` does not take it up"
            )
    return steady


def try_first_round(
    aggregator: Callable[[], Aggregator],
    hooks: Sequence[Callable[[], SiteHook]],
    network: Mapping[str, Any],
    weights: Weights | None = None,
) -> None:
    """One round on two small sites, of a job's method, hooks and network: find what would end the job in its first.

    It is played with arrays and the network's weights. Where a hook asks for more, of its network or its site, all is
    made anew and two sites of synthetic cases play it.

    Args:
        network: the arguments of SegmentationNetwork.
        weights: of this network, where they are known without building it.

    Raises: ConfigurationError where a hook or the method raises, gives NaN or too much, or has a state that cannot be
        kept after the round.
    """
    from fedbrats.extensions.array_trial import NeedsNetworkError, play_with_arrays

    buffers: frozenset[str] = frozenset()
    if weights is None:
        weights, buffers = _first_weights(network)
    try:
        with _one_round(aggregator, hooks) as (method, made):
            play_with_arrays(method, made, SITES, weights, buffers)
    except NeedsNetworkError:
        with (
            tempfile.TemporaryDirectory(prefix="fedbrats-try-") as folder,
            _one_round(aggregator, hooks) as (method, made),
        ):
            sites = _open_sites(list(reversed(made.values())).pop, Path(folder), network)
            _round(method, sites, weights, 0, 1)


@contextmanager
def _one_round(
    aggregator: Callable[[], Aggregator], hooks: Sequence[Callable[[], SiteHook]]
) -> Iterator[tuple[Aggregator, dict[str, list[SiteHook]]]]:
    """A new method and each site's new hooks for one round; what fails in it refuses the job.

    Raises: ConfigurationError.
    """
    method, made = aggregator(), {site: [make() for make in hooks] for site in SITES}
    own = made[next(iter(SITES))]
    with _told_as_refusal(own):
        yield method, made
        check_state(method.state(), f"aggregator {type(method).__name__}")
        for hook in own:
            check_state(hook.state() or {}, f"hook {type(hook).__name__}")


@contextmanager
def _told_as_refusal(hooks: Sequence[SiteHook]) -> Iterator[None]:
    """What fails in a first round, as the sentence that refuses the job. Raises: ConfigurationError."""
    named = " and ".join(type(hook).__name__ for hook in hooks)
    try:
        yield
    except FedbratsError as error:
        with_hooks = f", with {named}," if named else ""
        raise ConfigurationError(f"a first round of synthetic cases{with_hooks} failed: {error}") from error
    except Exception as error:  # somebody's own code: the method's own errors are told by `combine_safely`
        raise ConfigurationError(f"{named} failed in a first round of synthetic cases: {error!r:.300}") from error


def try_network(make: Callable[[], nn.Module], loss: nn.Module | None = None) -> None:
    """One training step of a network, with a loss of one's own or the usual one. Raises: ConfigurationError."""
    from fedbrats.model.network import SegmentationNetwork, require_sound_network
    from fedbrats.model.training.loss import RegionLoss
    from fedbrats.model.training.trial import try_step

    network = SegmentationNetwork("tiny")
    network.net = require_sound_network(make(), "the network")
    network.divisor = int(getattr(network.net, "divisor", 1))
    try_step(network, loss or RegionLoss(1.0))


def try_loss(loss: nn.Module) -> None:
    """One training step with a loss. Raises: ConfigurationError where it or its gradient is no finite number."""
    from fedbrats.model.network import SegmentationNetwork
    from fedbrats.model.training.trial import try_step

    try_step(SegmentationNetwork("tiny"), loss)


def synthetic_site(
    name: str, folder: Path, cases: int = 2, network: Mapping[str, Any] = TINY, **training: Any
) -> LocalSite:
    """A site of cases made of chance, which every call makes alike; its files stand in `folder`."""
    from fedbrats.model.settings import TrainingSettings
    from fedbrats.model.training.trainer import Trainer
    from fedbrats.site.local_site import LocalSite, seed_of_site
    from fedbrats.site.site_file import SiteFacts

    settings = TrainingSettings(
        **{"local_steps": 2, "patch_size": (SIDE, SIDE, SIDE), "final_flips": False, "learning_rate": 0.01, **training}
    )
    facts = SiteFacts(data_dir=folder, cache_dir=folder, personal_dir=folder, min_cases=1, device="cpu", threads=1)
    made = [_synthetic_case(f"{name}-{number}") for number in range(cases + 1)]
    trainer = Trainer(dict(network), settings, made[1:], made[:1], seed=seed_of_site(0, name), device="cpu", threads=1)
    return LocalSite(name, facts, (), trainer, "", 1.0, 0.0, folder / f"{name}.jsonl")


def _first_weights(network: Mapping[str, Any]) -> tuple[Weights, frozenset[str]]:
    """(the first weights of a network, by name; the names of those that are no parameters)."""
    from fedbrats.model.network import SegmentationNetwork

    built = SegmentationNetwork(**network)
    weights = {name: value.numpy().copy() for name, value in built.state_dict().items()}
    return weights, frozenset(name for name, _ in built.named_buffers())


def _run(
    aggregator: Callable[[], Aggregator],
    hooks: Sequence[Callable[[], SiteHook]],
    weights: Weights,
    rounds: int,
    folder: Path,
    restarts: bool,
) -> list[Weights]:
    method, sites, models = aggregator(), _open_sites(lambda: [make() for make in hooks], folder), []
    for number in range(rounds):
        if restarts and number:
            state = _stored(method.state(), folder / "server.npz", type(method).__name__)
            method, sites = aggregator(), _open_sites(lambda: [make() for make in hooks], folder)
            method.restore(state)
        weights = _round(method, sites, weights, number, rounds)
        models.append(weights)
    return models


def _open_sites(
    make_hooks: Callable[[], Sequence[SiteHook]], folder: Path, network: Mapping[str, Any] = TINY
) -> dict[str, Any]:
    from fedbrats.site.local_round import LocalRound

    return {
        name: LocalRound(synthetic_site(name, folder, cases, network), make_hooks(), [folder / name])
        for name, cases in SITES.items()
    }


def _round(method: Aggregator, sites: Mapping[str, Any], weights: Weights, number: int, rounds: int) -> Weights:
    from fedbrats.site.task import RoundTask

    told = dict(method.tell())
    contributions = []
    expected = Expectation({name: value.shape for name, value in weights.items()}, number)
    for name, local_round in sites.items():
        answer = local_round.answer(RoundTask(weights, number, rounds, told=told))
        said = {key: value for part in answer.said.values() for key, value in part.items()}
        report = answer.report
        contribution = Contribution(
            name, number, report.training_cases, report.steps, answer.update, report.usefulness, said=said
        )
        if refusal := check(contribution, expected, set(), method.hears):
            raise UpdateError(refusal.message)
        contributions.append(contribution)
    update = combine_safely(method, contributions, number).update
    return {name: (value + update[name]).astype(value.dtype) for name, value in weights.items()}


def _stored(state: Mapping[str, Any], path: Path, who: str) -> dict[str, Any]:
    """A state as the server would have it after a restart."""
    import json

    check_state(state, f"aggregator {who}")
    arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
    write_arrays(path, arrays)
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in state.items()}
    return {**json.loads(json.dumps({name: plain[name] for name in plain if name not in arrays})), **read_arrays(path)}


def _synthetic_case(name: str) -> Any:
    from fedbrats.data.prepare.cache import CachedCase
    from fedbrats.data.prepare.preparation import Geometry

    rng = np.random.default_rng(list(name.encode()))
    image = rng.standard_normal((4, SIDE, SIDE, SIDE)).astype(np.float16)
    mask = np.zeros((3, SIDE, SIDE, SIDE), np.uint8)
    for region, half in enumerate((5, 4, 3)):
        mask[region, 8 - half : 8 + half, 8 - half : 8 + half, 8 - half : 8 + half] = 1
    image[:, mask[0] == 1] += 1
    affine = tuple(tuple(float(value) for value in row) for row in np.diag([-1, -1, 1, 1]))
    box = ((0, SIDE), (0, SIDE), (0, SIDE))
    return CachedCase(name, name, image, mask, Geometry(affine, (SIDE, SIDE, SIDE), (1, 1, 1), box))
