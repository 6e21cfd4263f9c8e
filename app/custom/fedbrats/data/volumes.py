"""Read a NIfTI file whole: its voxels as they are stored, and where they lie."""

from __future__ import annotations

import hashlib
import math
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.placement import Grid, check_edges, is_placed
from fedbrats.errors import DataError

MOST_VOXELS = 2**28  # a head at 0.4 mm has 10^8
_UNREADABLE = (OSError, EOFError, ValueError, TypeError, KeyError, OverflowError, zlib.error, struct.error)


@dataclass(frozen=True)
class Volume:
    """A scan or a segmentation on its own grid."""

    voxels: NDArray[np.generic]  # in the type of the file, scaled if its header says so, with 0 as 0
    affine: NDArray[np.float64]  # (4, 4), voxel indices to mm
    is_placed: bool = True  # False: the file does not say where its voxels lie, and its affine is made up

    @property
    def grid(self) -> Grid:
        """Where the voxels lie."""
        return Grid(self.voxels.shape, self.affine)

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """The edges of a voxel."""
        return self.grid.spacing_mm

    @property
    def voxel_ml(self) -> float:
        """The volume of a voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    @cached_property
    def fingerprint(self) -> str:
        """A hash of every eighth voxel, the same whatever number type and compression the file has."""
        sparse = np.ascontiguousarray(self.voxels[::2, ::2, ::2], dtype=np.float32)
        return hashlib.blake2b(sparse.tobytes(), digest_size=16).hexdigest()


def read_volume(path: Path) -> Volume:
    """Read `path` to its last voxel, so that a truncated file is found here and not in the middle of a training.

    Its header is believed in nothing: a file of some kilobytes may claim terabytes, or voxels as large as a house.
    Some programs write a volume with a fourth axis of length 1, which says nothing and is left out.

    Raises: DataError saying what is wrong with the file.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        image = nibabel.load(path)
        affine = np.asarray(image.affine, dtype=np.float64)
        _check_header(path, image, affine)
        voxels = np.asanyarray(image.dataobj)
        _restore_zeros(voxels, image.dataobj)
        while voxels.ndim > 3 and voxels.shape[-1] == 1:
            voxels = voxels[..., 0]
        volume = Volume(voxels, affine, is_placed(image.header))
    except FileNotFoundError:
        raise DataError(f"{path} is not there") from None
    except MemoryError:
        raise DataError(f"{path} does not fit into memory, if it is as large as its header says") from None
    except (*_UNREADABLE, HeaderDataError, ImageFileError) as error:
        raise DataError(f"{path} cannot be read as NIfTI (truncated or damaged?): {_first_line(error)}") from None
    if volume.voxels.dtype.kind not in "iuf":
        raise DataError(f"{path} holds {volume.voxels.dtype} values, expected one real number a voxel")
    return volume


def _restore_zeros(voxels: NDArray[Any], stored: Any) -> None:
    """Set to 0, in place, what 0 reads back as where a file stores whole numbers with a slope and an intercept.

    Such a file holds multiples of the slope plus the intercept, and 0 need not be among them: the air around a brain
    then comes back as some 1e-4, at most half a step, and whoever asks which voxels are not 0 takes it for brain.
    """
    slope, intercept = getattr(stored, "slope", 1.0), getattr(stored, "inter", 0.0)
    if slope != 1 and intercept and stored.dtype.kind in "iu":
        half = abs(slope) / 2
        voxels[(voxels <= half) & (voxels >= -half)] = 0


def _check_header(path: Path, image: Any, affine: NDArray[np.float64]) -> None:
    voxels = math.prod(int(side) for side in image.shape)
    if not 0 < voxels <= MOST_VOXELS:
        raise DataError(f"{path} says that it has {voxels} voxels, expected 1 to {MOST_VOXELS}")
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise DataError(f"{path} has an affine that is not of numbers: it does not say where its voxels lie")
    edges = check_edges(path, affine)
    if abs(np.linalg.det(affine[:3, :3])) < 0.1 * math.prod(edges):
        raise DataError(f"{path} has an affine whose axes fall together; convert the scan anew")
    slope = getattr(image.dataobj, "slope", 1.0)
    if not (math.isfinite(slope) and slope > 0):
        raise DataError(f"{path} scales its intensities by {slope:g}, expected a positive number (scl_slope)")


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
