"""Trouble-makers of the simulation: what the last hospitals of a federation do wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .quadratics import SIZE, Hospital, random_length

Corrupt = Callable[[np.ndarray, np.ndarray, int, np.random.Generator], np.ndarray]
"""(own honest update, the first site's update, round, randomness) -> the update that is sent"""

Mislead = Callable[[Hospital, np.random.Generator], Hospital]
"""The hospital as its data make it: with another optimum than the truth."""

LATE = 10  # the round from which a site that was honest goes wrong


@dataclass(frozen=True)
class Trouble:
    """What `count` sites do; the loss of `honest` ones counts; `cases` is what they declare where that is a lie."""

    corrupt: Corrupt | None = None
    mislead: Mislead | None = None
    cases: int | None = None
    honest: bool = False
    count: int = 1


def _noise(own: np.ndarray, other: np.ndarray, round_number: int, rng: np.random.Generator) -> np.ndarray:
    return random_length(rng, float(np.linalg.norm(own)))


def _late_noise(own: np.ndarray, other: np.ndarray, round_number: int, rng: np.random.Generator) -> np.ndarray:
    return _noise(own, other, round_number, rng) if round_number >= LATE else own


def _wrong_labels(hospital: Hospital, rng: np.random.Generator) -> Hospital:
    """Labels shuffled between cases: an optimum as far away as the truth, in a direction of its own."""
    return replace(hospital, optimum=random_length(rng, 1.0))


def _exchanged(hospital: Hospital, rng: np.random.Generator) -> Hospital:
    """Labels or modalities exchanged: half of the coordinates of the optimum belong to other coordinates."""
    optimum = hospital.optimum.copy()
    half = rng.permutation(SIZE)[: SIZE // 2]
    optimum[half] = optimum[rng.permutation(half)]
    return replace(hospital, optimum=optimum)


def _shifted(hospital: Hospital, rng: np.random.Generator) -> Hospital:
    """A strong domain shift: the optimum has as much of its own as it has in common."""
    return replace(hospital, optimum=hospital.optimum + random_length(rng, hospital.setting.shift))


def _colluding(hospital: Hospital, rng: np.random.Generator) -> Hospital:
    """The same wrong optimum for all who collude, whatever the federation."""
    return replace(hospital, optimum=random_length(np.random.default_rng(0), 1.0))


TROUBLES: dict[str, Trouble] = {
    "nobody": Trouble(honest=True),
    "shifted, honest": Trouble(mislead=_shifted, honest=True),
    "noise": Trouble(corrupt=_noise),
    "zero update": Trouble(corrupt=lambda own, other, t, rng: 0.0 * own),
    "sign-flip": Trouble(corrupt=lambda own, other, t, rng: -own),
    "x100": Trouble(corrupt=lambda own, other, t, rng: 100.0 * own),
    "sign-flip x100": Trouble(corrupt=lambda own, other, t, rng: -100.0 * own),
    "copy of another": Trouble(corrupt=lambda own, other, t, rng: other),
    "shuffled labels": Trouble(mislead=_wrong_labels),
    "exchanged": Trouble(mislead=_exchanged),
    "NaN": Trouble(corrupt=lambda own, other, t, rng: np.where(np.arange(SIZE) == 7, np.nan, own)),
    "absurd n": Trouble(mislead=_wrong_labels, cases=10**9),
    "noise, late": Trouble(corrupt=_late_noise),
    "sign-flip, every 2nd": Trouble(corrupt=lambda own, other, t, rng: -own if t % 2 else own),
    "noise, two sites": Trouble(corrupt=_noise, count=2),
    "sign-flip, two sites": Trouble(corrupt=lambda own, other, t, rng: -own, count=2),
    "colluding, two sites": Trouble(mislead=_colluding, count=2),
}
