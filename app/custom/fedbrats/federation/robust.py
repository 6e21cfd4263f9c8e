"""Means that a minority of sites cannot move at will: coordinate by coordinate, over the sites.

Yin et al. 2018, Byzantine-robust distributed learning (arXiv:1803.01498). Both ignore how many cases a site has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from fedbrats.errors import ConfigurationError, UpdateError
from fedbrats.federation.updates import BLOCK, Update, require_same_form


def coordinate_median(updates: Sequence[Update]) -> dict[str, np.ndarray]:
    """The median of every coordinate over the sites; of an even number of sites the mean of the two middle values.

    Raises: UpdateError without updates and for updates of different form.
    """
    return _by_tensor(updates, lambda stack: np.median(stack, axis=0))


def trimmed_mean(updates: Sequence[Update], trim: float = 0.2) -> dict[str, np.ndarray]:
    """The mean of every coordinate without its floor(trim * K) largest and as many smallest values.

    Raises: ConfigurationError unless 0 <= trim < 0.5; UpdateError without updates or for updates of different form.
    """
    if not 0.0 <= trim < 0.5:
        raise ConfigurationError(
            f"A trimmed mean can leave out 0 to just under 0.5 of the sites at each end, not {trim}."
        )
    cut = math.floor(trim * len(updates) + 1e-9)  # 0.2 * 5 is one site, whatever the last bit of the product says
    return _by_tensor(updates, lambda stack: np.sort(stack, axis=0)[cut : len(stack) - cut].mean(axis=0))


def _by_tensor(updates: Sequence[Update], centre: Callable[[np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
    """Apply `centre`, float64 (K, n) -> (n,), to a block of numbers at a time: K blocks are stacked, never K models."""
    if not updates:
        raise UpdateError("No update was given, so there is no mean; keep the model as it is.")
    first = updates[0]
    for other in updates[1:]:
        require_same_form(first, other)
    return {name: _by_block([update[name] for update in updates], centre) for name in sorted(first)}


def _by_block(tensors: Sequence[np.ndarray], centre: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    flat = [np.ravel(tensor) for tensor in tensors]
    result = np.empty(flat[0].size, dtype=tensors[0].dtype)
    for start in range(0, result.size, BLOCK):
        block = np.stack([row[start : start + BLOCK].astype(np.float64) for row in flat])
        result[start : start + BLOCK] = centre(block)
    return result.reshape(tensors[0].shape)
