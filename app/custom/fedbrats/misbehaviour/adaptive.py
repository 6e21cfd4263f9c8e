"""Attacks that know the defences: each stays as long as an honest update, so that no gate and no clip meets it.

A site knows its own honest update, and what the federation did in the last round: the difference of the models that it
has received. Attacks of papers that know all honest updates estimate them from these two.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from fedbrats.federation.updates import norm, scale

Arrays = dict[str, np.ndarray]
DRIFT_LENGTHS = 1.5  # of the drift, in lengths of the site's own update
DEVIATIONS = 1.5  # of ALIE, below the mean; what a few of many sites can hide (Baruch 2019, table 1)
INNER_PRODUCT = 0.5  # of inner-product manipulation: the share of the mean that is sent with its sign turned
RIDER_NOISE = 0.1  # of a free rider, in lengths of what it repeats


@dataclass(frozen=True)
class Known:
    """What an attacking site knows in a round.

    Attributes:
        own: its honest update, by name.
        moved: what the last round changed of the model, by name; its own update before there was one.
        site: its name.
        rng: of this site and round.
    """

    own: Arrays
    moved: Arrays
    site: str
    rng: np.random.Generator


def drift(known: Known) -> Arrays:
    """The own update, plus 1.5 lengths of it in a direction that stays the same in all rounds."""
    return _plus(known.own, direction(known.own, zlib.crc32(known.site.encode())), DRIFT_LENGTHS * norm(known.own))


def a_little_is_enough(known: Known) -> Arrays:
    """ALIE (Baruch et al. 2019, arXiv:1902.06156): the mean less some deviations, number by number."""
    mean = {name: (known.own[name] + known.moved[name]) / 2 for name in known.own}
    spread = {name: np.abs(known.own[name] - known.moved[name]) / np.sqrt(2) for name in known.own}
    return {name: (mean[name] - DEVIATIONS * spread[name]).astype(known.own[name].dtype) for name in known.own}


def inner_product(known: Known) -> Arrays:
    """Inner-product manipulation (Xie et al. 2020, arXiv:1903.03936): the mean with its sign turned, and short."""
    return scale(known.moved, -INNER_PRODUCT)


def free_ride(known: Known) -> Arrays:
    """What the federation did last time, with some noise: no case is needed for it (Fraboni 2021, arXiv:2006.11901)."""
    noise = {name: known.rng.standard_normal(value.shape).astype(value.dtype) for name, value in known.moved.items()}
    length = norm(known.moved)
    return _plus(known.moved, _unit(noise), RIDER_NOISE * length)


def collude(known: Known) -> Arrays:
    """An update as long as the own one, in one direction for all who collude."""
    return scale(direction(known.own, 0), norm(known.own))


ADAPTIVE_ATTACKS: Mapping[str, Callable[[Known], Arrays]] = {
    "drift": drift,
    "alie": a_little_is_enough,
    "inner-product": inner_product,
    "free-rider": free_ride,
    "colluding": collude,
}


class Adversary:
    """A site that attacks from round to round.

    Args:
        kind: one of ADAPTIVE_ATTACKS.
        site: its name.
    """

    def __init__(self, kind: str, site: str) -> None:
        self._attack = ADAPTIVE_ATTACKS[kind]
        self._site = site
        self._received: Mapping[str, np.ndarray] | None = None

    def corrupt(self, own: Arrays, received: Mapping[str, np.ndarray], round_number: int) -> Arrays:
        """What is sent in the place of the honest update, given the model that the round began with."""
        before, self._received = self._received, {name: np.array(value) for name, value in received.items()}
        moved = (
            own if before is None else {name: (received[name] - before[name]).astype(own[name].dtype) for name in own}
        )
        if not norm(moved):
            moved = own
        rng = np.random.default_rng([zlib.crc32(self._site.encode()), round_number])
        return self._attack(Known(own, moved, self._site, rng))


def direction(like: Arrays, seed: int) -> Arrays:
    """A direction of length 1, of the form of an update, that depends on the seed alone."""
    rng = np.random.default_rng(seed)
    return _unit({name: rng.standard_normal(like[name].shape).astype(like[name].dtype) for name in sorted(like)})


def _unit(update: Arrays) -> Arrays:
    return scale(update, 1.0 / norm(update))


def _plus(update: Arrays, unit: Arrays, length: float) -> Arrays:
    return {name: (value + length * unit[name]).astype(value.dtype) for name, value in update.items()}
