"""Who resembles whom: the cosines between the updates of a round, exact or from small sketches."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from fedbrats.federation.updates import Update

SKETCH_LENGTH = 4096
_BLOCK = 1 << 13  # numbers compared at a time: 64 KiB of float64 a site, whatever the size of the largest tensor
_SKETCHED = 1 << 16  # numbers sketched at a time


def gram(updates: Sequence[Update]) -> tuple[np.ndarray, np.ndarray]:
    """Cosines (K, K) and lengths (K,) in float64, tensor by tensor: K^2 D operations, K^2 numbers kept. Every update is
    non-zero."""
    products = np.zeros((len(updates), len(updates)))
    for name in sorted(updates[0]):
        flat = [np.ravel(update[name]) for update in updates]
        for start in range(0, flat[0].size, _BLOCK):
            block = np.stack([row[start : start + _BLOCK].astype(np.float64) for row in flat])
            products += block @ block.T
    return cosines(products), np.sqrt(np.diag(products))


def sketched_gram(updates: Sequence[Update]) -> tuple[np.ndarray, np.ndarray]:
    """What `gram` gives, from one `sketch` a site."""
    sketches = np.stack([sketch(update) for update in updates]).astype(np.float64)
    products = sketches @ sketches.T
    return cosines(products), np.sqrt(np.diag(products))


def sketch(update: Update, length: int = SKETCH_LENGTH) -> np.ndarray:
    """A random linear image (length,) of an update that keeps angles: the error of a cosine is about 1/sqrt(length).

    Every coordinate is added, with a random sign, to one random place (the count sketch of Charikar, Chen and
    Farach-Colton 2002). Signs and places come from the name of the tensor, so that sites' sketches can be compared and
    nothing but a block of them is ever held. Exact copies have equal sketches.
    """
    image = np.zeros(length)  # float64 while it is summed; kept as float32, 16 KiB a site
    for name in sorted(update):
        flat = np.ravel(update[name])
        generator = np.random.Generator(np.random.PCG64(_seed(name)))
        for start in range(0, flat.size, _SKETCHED):
            block = flat[start : start + _SKETCHED].astype(np.float64)
            places = generator.integers(0, 2 * length, block.size)
            signs = 1.0 - 2.0 * (places >= length)
            image += np.bincount(places % length, weights=signs * block, minlength=length)
    return image.astype(np.float32)


def cosines(products: np.ndarray) -> np.ndarray:
    """Inner products (K, K) -> cosines (K, K) in [-1, 1], symmetric, with ones on the diagonal."""
    lengths = np.sqrt(np.diag(products))
    matrix = products / np.outer(lengths, lengths)
    matrix = np.clip((matrix + matrix.T) / 2.0, -1.0, 1.0)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def _seed(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest()[:16], "big")
