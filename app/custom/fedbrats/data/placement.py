"""Where the voxels of a file lie in the patient: whether it says so, whether that can be, whether two files agree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedbrats.errors import DataError

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

SPACING_MM = (0.2, 10.0)  # from the finest to the coarsest that a scanner of brains gives
GRID_TOLERANCE = 0.1  # voxels
UNPLACED = (
    "does not say how its voxels lie in the patient (qform_code and sform_code are 0); "
    "convert the scan anew from DICOM, or set the code if its affine is known to be right"
)


@dataclass(frozen=True)
class Grid:
    """The voxels of a file in space."""

    shape: tuple[int, ...]
    affine: NDArray[np.float64]  # (4, 4), voxel indices to mm

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """The edges of a voxel."""
        return tuple(float(edge) for edge in np.linalg.norm(self.affine[:3, :3], axis=0))

    def gap(self, other: Grid) -> str | None:
        """In words, how another grid differs from this one, the usual one of a case; None if it does not."""
        if other.shape != self.shape:
            shapes = ["x".join(map(str, grid.shape)) for grid in (other, self)]
            return f"the shape is {shapes[0]}, the case's other files have {shapes[1]}"
        ends = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], [1], indexing="ij")).reshape(4, -1)
        gap_mm = float(np.abs(((other.affine - self.affine) @ ends)[:3]).max())
        if not gap_mm <= GRID_TOLERANCE * min(self.spacing_mm):
            return f"the affine places a corner {gap_mm:.1f} mm away from where the case's other files have it"
        return None


def open_placed(path: Path) -> Nifti1Image:
    """Open a NIfTI file whose orientation and spacing are known; its voxels stay unread.

    Raises: DataError if the file says neither by qform nor by sform where its voxels lie, or gives an edge of a voxel
        that cannot be: whatever were predicted on it might come out mirrored.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        image = nibabel.load(path)
    except (OSError, EOFError, ValueError, ImageFileError, HeaderDataError) as error:
        raise DataError(f"{path} cannot be read as NIfTI: {error}") from None
    if not isinstance(image, nibabel.Nifti1Image):
        raise DataError(f"{path} is no NIfTI file")
    if not is_placed(image.header):
        raise DataError(f"{path} {UNPLACED}")
    check_edges(path, image.affine)
    return image


def is_placed(header: Any) -> bool:
    """Whether a NIfTI header says where the voxels lie; nibabel makes up an affine where it does not."""
    return bool(int(header["qform_code"]) or int(header["sform_code"]))


def check_edges(path: Path, affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """The edges of a voxel in mm. Raises: DataError where they cannot be those of a scan of a brain."""
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    if not ((edges >= SPACING_MM[0]) & (edges <= SPACING_MM[1])).all():
        shown = " x ".join(f"{edge:g}" for edge in edges)
        raise DataError(f"{path} has voxels of {shown} mm, expected edges of {SPACING_MM[0]:g} to {SPACING_MM[1]:g} mm")
    return edges
