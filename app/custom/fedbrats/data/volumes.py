"""Read a NIfTI file whole: its voxels as they are stored, and where they lie."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedbrats.errors import DataError


@dataclass(frozen=True)
class Volume:
    """A scan or a segmentation on its own grid."""

    voxels: NDArray[np.generic]  # in the type of the file, scaled if its header says so
    affine: NDArray[np.float64]  # (4, 4), voxel indices to mm

    @cached_property
    def spacing_mm(self) -> tuple[float, ...]:
        """The edges of a voxel."""
        return tuple(float(edge) for edge in np.linalg.norm(self.affine[:3, :3], axis=0))

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

    Raises: DataError saying what is wrong with the file.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        image = nibabel.load(path)
        volume = Volume(np.asanyarray(image.dataobj), np.asarray(image.affine, dtype=np.float64))
    except FileNotFoundError:
        raise DataError(f"{path} is not there") from None
    except (OSError, EOFError, ValueError, OverflowError, MemoryError, zlib.error, ImageFileError) as error:
        raise DataError(f"{path} cannot be read as NIfTI (truncated or damaged?): {_first_line(error)}") from None
    if volume.voxels.dtype.kind not in "iuf":
        raise DataError(f"{path} holds {volume.voxels.dtype} values, expected one real number a voxel")
    return volume


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
