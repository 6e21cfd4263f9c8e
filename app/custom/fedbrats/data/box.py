"""The box around what a volume shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def box_of(shown: NDArray[np.bool_], margin: Sequence[int] = (0, 0, 0)) -> tuple[slice, ...]:
    """The smallest box around what is true in a volume (X, Y, Z); the whole volume where nothing is.

    margin: voxels that the box is wider by at both ends of each axis, where there is room.
    """
    box = []
    for axis, (side, more) in enumerate(zip(shown.shape, margin, strict=True)):
        found = np.flatnonzero(shown.any(axis=tuple(other for other in range(3) if other != axis)))
        first, last = (int(found[0]), int(found[-1])) if found.size else (0, side - 1)
        box.append(slice(max(0, first - more), min(side, last + 1 + more)))
    return tuple(box)
