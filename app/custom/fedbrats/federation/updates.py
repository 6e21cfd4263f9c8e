"""The algebra of updates: named arrays, subtracted, scaled, measured and averaged.

Every sum runs in float64 and in the sorted order of the names, so that the same arrays give the same bits whatever
order a mapping holds them in; results come back in the dtype of the (first) input. A sum over sites follows the order
in which the sites are given: a caller who sorts them by name gets the same bits whatever order they answered in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fedbrats.errors import UpdateError

Update = Mapping[str, np.ndarray]
BLOCK = 1 << 14  # numbers that are summed at a time: 128 KiB of float64


def difference(after: Update, before: Update) -> dict[str, np.ndarray]:
    """What training changed: after - before, name by name."""
    require_same_form(after, before)
    return {name: (_wide(after[name]) - _wide(before[name])).astype(after[name].dtype) for name in sorted(after)}


def scale(a: Update, k: float) -> dict[str, np.ndarray]:
    """k * a."""
    return {name: (_wide(a[name]) * k).astype(a[name].dtype) for name in sorted(a)}


def dot(a: Update, b: Update) -> float:
    """The inner product over all names."""
    require_same_form(a, b)
    return float(sum(np.dot(_wide(a[name]).ravel(), _wide(b[name]).ravel()) for name in sorted(a)))


def norm(a: Update) -> float:
    """The Euclidean length over all names."""
    return math.sqrt(dot(a, a))


def weighted_mean(updates: Sequence[Update], weights: Sequence[float]) -> dict[str, np.ndarray]:
    """sum w_i u_i / sum w_i, in the order given.

    Raises: UpdateError without updates, for a negative or non-finite weight, and where the weights sum to zero.
    """
    if len(updates) != len(weights):
        raise UpdateError(f"A mean of {len(updates)} updates needs as many weights, but {len(weights)} were given.")
    for weight in weights:
        if not (math.isfinite(weight) and weight >= 0.0):
            raise UpdateError(f"An update cannot be counted with the weight {weight}; weights are finite, at least 0.")
    total = math.fsum(weights)
    if total <= 0.0:
        raise UpdateError("No update with a weight above zero was given, so there is no mean; keep the model as it is.")
    for other in updates[1:]:
        require_same_form(updates[0], other)
    shares = [weight / total for weight in weights]
    return {name: _mean_of([update[name] for update in updates], shares) for name in sorted(updates[0])}


def _mean_of(tensors: Sequence[np.ndarray], shares: Sequence[float]) -> np.ndarray:
    """The mean of one tensor, block by block: one result and one float64 block are held, however many sites there are.

    A block stays in the processor's cache while the sites' blocks pass by.
    """
    flat = [np.ravel(tensor) for tensor in tensors]
    result = np.empty(flat[0].size, dtype=tensors[0].dtype)
    for start in range(0, result.size, BLOCK):
        block = np.zeros(min(BLOCK, result.size - start))
        for row, share in zip(flat, shares, strict=True):
            block += share * row[start : start + BLOCK].astype(np.float64)
        result[start : start + BLOCK] = block
    return result.reshape(tensors[0].shape)


def require_same_form(a: Update, b: Update) -> None:
    """Raises: UpdateError that names the first name or shape in which two updates differ."""
    if a.keys() != b.keys():
        missing, extra = sorted(a.keys() - b.keys()), sorted(b.keys() - a.keys())
        raise UpdateError(f"Two updates do not have the same names: missing {missing}, unexpected {extra}.")
    for name in sorted(a):
        if a[name].shape != b[name].shape:
            raise UpdateError(f"Two updates differ in the shape of '{name}': {a[name].shape} and {b[name].shape}.")


def _wide(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, dtype=np.float64)
