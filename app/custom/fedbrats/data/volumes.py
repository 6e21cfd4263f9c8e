"""Read a NIfTI file whole: its voxels as they are stored, and where they lie."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.background import without_background
from fedbrats.data.nifti import read_nifti
from fedbrats.data.placement import Grid, check_header, find_contradictions, is_placed
from fedbrats.data.written import is_predicted
from fedbrats.errors import DataError

_NEAR_WHOLE, _MOST_NEAR_WHOLE = 1e-3, 0.1  # how far a label may be from a whole number, without and with a slope


@dataclass(frozen=True)
class Volume:
    """A scan or a segmentation on its own grid."""

    voxels: NDArray[np.generic]  # in the type of the file, scaled if its header says so, with 0 as 0
    affine: NDArray[np.float64]  # (4, 4), voxel indices to mm
    is_placed: bool = True  # False: the file does not say where its voxels lie, and its affine is made up
    step: float = 0.0  # between the values that the file can store; 0: it stores the numbers as they are
    is_predicted: bool = False  # it has our mark: it is a mask that was written by us
    contradictions: tuple[str, ...] = ()  # what its header says twice and not alike

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
        return self.grid.voxel_ml

    @property
    def labels(self) -> NDArray[np.generic]:
        """The voxels as whole numbers: those within a step of storage of one are that one.

        A program that saves labels as fractions gives the file a slope, and 1 comes back as 1.00002. Values further
        from a whole number stay as they are.
        """
        if self.voxels.dtype.kind != "f":
            return self.voxels
        voxels: NDArray[np.floating] = self.voxels  # type: ignore[assignment]
        whole = np.round(voxels)
        near = min(max(self.step, _NEAR_WHOLE), _MOST_NEAR_WHOLE)
        return np.where(np.abs(voxels - whole) <= near, whole, voxels)

    @cached_property
    def foreground(self) -> NDArray[np.generic]:
        """The voxels of an image with 0 where it shows nothing; see `background`."""
        return without_background(self.voxels) if self.voxels.ndim == 3 else self.voxels

    @cached_property
    def fingerprint(self) -> str:
        """A hash of every eighth voxel, the same whatever number type and compression the file has."""
        sparse = np.ascontiguousarray(self.voxels[::2, ::2, ::2], dtype=np.float32)
        return hashlib.blake2b(sparse.tobytes(), digest_size=16).hexdigest()


def read_volume(path: Path) -> Volume:
    """Read `path` to its last byte, so that a damaged file is found here and not in the middle of a training.

    Its header is believed in nothing: a file of some kilobytes may claim terabytes, or voxels as large as a house.
    Some programs write a volume with a fourth axis of length 1, which says nothing and is left out.

    Raises: DataError saying what is wrong with the file.
    """
    try:
        image = read_nifti(path)
        check_header(path, image)
        if image.get_data_dtype().kind not in "iuf":
            raise DataError(f"{path} holds {image.get_data_dtype()} values, expected one real number a voxel")
        voxels = np.asanyarray(image.dataobj)
    except MemoryError:
        raise DataError(f"{path} does not fit into memory, if it is as large as its header says") from None
    _restore_zeros(voxels, image.dataobj)
    while voxels.ndim > 3 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    header, affine = image.header, np.asarray(image.affine, dtype=np.float64)
    step, contradictions = _step_of(image.dataobj), find_contradictions(image)
    return Volume(voxels, affine, is_placed(header), step, is_predicted(header), contradictions)


def _restore_zeros(voxels: NDArray[Any], stored: Any) -> None:
    """Set to 0, in place, what 0 reads back as where a file stores whole numbers with a slope and an intercept.

    Such a file holds multiples of the slope plus the intercept, and 0 need not be among them: the air around a brain
    then comes back as some 1e-4, at most half a step, and whoever asks which voxels are not 0 takes it for brain.
    """
    slope, intercept = getattr(stored, "slope", 1.0), getattr(stored, "inter", 0.0)
    if slope != 1 and intercept and stored.dtype.kind in "iu":
        half = abs(slope) / 2
        voxels[(voxels <= half) & (voxels >= -half)] = 0


def _step_of(stored: Any) -> float:
    """What one step of the stored whole numbers stands for; 0 where the file has no slope or stores fractions."""
    slope = float(getattr(stored, "slope", 1.0))
    return slope if slope != 1 and stored.dtype.kind in "iu" else 0.0
