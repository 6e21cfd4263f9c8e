"""Whether a prepared case is still what it was when it was prepared: asked each time its arrays are read.

Jobs run for weeks and disks decay meanwhile; a cache may be emptied by somebody who needs the space. Reading beyond the
end of a mapped file that has become shorter would end the whole process (SIGBUS), so its size is asked first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedbrats.errors import DataError

if TYPE_CHECKING:
    from fedbrats.data.prepare.cache import CachedCase


class BrokenCaseError(DataError):
    """A prepared case that has broken since: `name` is its own, the text says why, without the name."""

    def __init__(self, name: str, why: str):
        super().__init__(why)
        self.name = name


def check_files(case: CachedCase) -> None:
    """Raise BrokenCaseError where the case's files are gone or have another size, or its arrays do not fit together."""
    for path, size in case.files:
        try:
            found = path.stat().st_size
        except OSError as error:
            raise BrokenCaseError(case.name, f"its prepared file {path} cannot be read: {error.strerror}") from None
        if found != size:
            raise BrokenCaseError(case.name, f"its prepared file {path} has {found} bytes, and had {size}")
    if case.mask is not None and case.mask.shape[1:] != case.image.shape[1:]:
        raise BrokenCaseError(
            case.name, f"its mask lies on a grid of {case.mask.shape[1:]} voxels, its images of {case.image.shape[1:]}"
        )


def check_values(case: CachedCase, image: NDArray[np.floating], mask: NDArray[np.generic] | None) -> None:
    """Raise BrokenCaseError where what was read of a case is no image of numbers, or no mask of zeros and ones."""
    if not np.isfinite(image).all():
        raise BrokenCaseError(case.name, "its prepared images hold NaN or infinite values")
    if mask is not None and ((mask != 0) & (mask != 1)).any():
        raise BrokenCaseError(case.name, "its prepared mask holds values that are neither 0 nor 1")
