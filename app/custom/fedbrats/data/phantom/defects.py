"""What goes wrong with scans before anybody trains on them: bad skull-stripping, and scans that cover a part."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.phantom.anatomy import Field, PhantomBox

Images = NDArray[np.float32]
Masks = NDArray[np.uint8]


def add_defects(
    rng: np.random.Generator, box: PhantomBox, images: Images, brain: NDArray[np.bool_], depth_mm: Field, mask: Masks
) -> tuple[Images, NDArray[np.bool_], Masks]:
    """A case with some faults, most often none.

    Args:
        images: (4, X, Y, Z). depth_mm: under the brain's surface, negative outside. mask: (3, X, Y, Z).

    Returns:
        The images, what each of them shows, bool (4, X, Y, Z), and the mask.
    """
    images, shown = images.copy(), np.stack([brain] * len(images))
    if rng.random() < 0.4:  # rests of skull and dura around the brain
        near = (depth_mm <= 0) & (depth_mm > -rng.uniform(2, 7))
        shell = near & (box.smooth_field(rng, 30.0) > rng.uniform(0.3, 1.5))
        for number in range(len(images)):
            values = np.maximum(0.2, rng.uniform(1, 18) + 1.5 * box.smooth_field(rng, 8.0))
            images[number] = np.where(shell, values, images[number])
        shown = shown | shell
    if rng.random() < 0.3:  # brain that was cut away
        lost = (depth_mm < rng.uniform(1, 6)) & (box.smooth_field(rng, 30.0) > rng.uniform(0.5, 1.5)) & brain
        shown, mask = shown & ~lost, (mask * ~lost).astype(np.uint8)
    if rng.random() < 0.06:  # one scan covers a part only
        axis = int(rng.integers(3))
        cut = int(box.shape[axis] * rng.uniform(0.15, 0.4))
        side = slice(0, cut) if rng.random() < 0.5 else slice(box.shape[axis] - cut, None)
        np.moveaxis(shown[rng.integers(len(images))], axis, 0)[side] = False
    return images, shown, mask
