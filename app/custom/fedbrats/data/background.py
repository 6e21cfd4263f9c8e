"""Where a skull-stripped image shows nothing: 0 as BraTS ships it, or another constant after somebody normalised it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MIN_SHARE = 0.9  # of the corner voxels that must have one value


def corners_of(image: NDArray[np.generic]) -> NDArray[np.generic]:
    """The voxels in the eight corners of a volume (X, Y, Z), where no brain is."""
    edge = [max(1, n // 16) for n in image.shape]
    ends = [(slice(None, n), slice(-n, None)) for n in edge]
    return np.concatenate([image[x, y, z].ravel() for x in ends[0] for y in ends[1] for z in ends[2]])


def find_background(image: NDArray[np.generic]) -> float | None:
    """The one value that a volume's corners have; None where they have many, as noise or a head there gives."""
    values, counts = np.unique(corners_of(image), return_counts=True)
    most = int(np.argmax(counts))
    return float(values[most]) if counts[most] >= MIN_SHARE * counts.sum() and np.isfinite(values[most]) else None


def without_background(image: NDArray[np.generic]) -> NDArray[np.generic]:
    """The volume with its constant background at 0, where everything looks for it; every difference stays as it is.

    An image z-scored as a whole, say, has its air at minus the mean and 0 somewhere in the brain.
    """
    background = find_background(image)
    if not background:
        return image
    wide = np.float64 if image.dtype == np.float64 else np.float32
    return np.subtract(image, np.asarray(background, wide), dtype=wide)
