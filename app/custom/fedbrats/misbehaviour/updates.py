"""Corruptions of a site's update, just before the site's filters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Arrays = dict[str, np.ndarray]
ABSURD_COUNT = 10**9  # training cases that a site declares


def _noise(update: Arrays, rng: np.random.Generator) -> Arrays:
    """Noise of the update's own length, tensor by tensor."""
    return {
        name: rng.normal(0.0, float(np.sqrt(np.mean(np.square(value, dtype=np.float64)))), value.shape).astype(
            value.dtype
        )
        for name, value in update.items()
    }


def _poison(update: Arrays) -> Arrays:
    """One value of one tensor is NaN."""
    name = min(update)
    value = np.array(update[name])
    value.flat[0] = np.nan
    return {**update, name: value}


UPDATE_CORRUPTIONS: dict[str, Callable[[Arrays, np.random.Generator], Arrays]] = {
    "noise": _noise,
    "zero": lambda update, _rng: {name: np.zeros_like(value) for name, value in update.items()},
    "sign-flip": lambda update, _rng: {name: -value for name, value in update.items()},
    "scaled": lambda update, _rng: {name: value * value.dtype.type(100) for name, value in update.items()},
    "nan": lambda update, _rng: _poison(update),
}


def corrupt_update(update: Arrays, kind: str, seed: int) -> Arrays:
    """The site's update, corrupted where `kind` is a corruption of updates."""
    corrupt = UPDATE_CORRUPTIONS.get(kind)
    return corrupt(update, np.random.default_rng(seed)) if corrupt else update
