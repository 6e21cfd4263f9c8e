"""Where the voxels of a file lie in the patient: whether it says so, whether that can be, whether two files agree."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.nifti import read_nifti
from fedbrats.errors import DataError

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

SPACING_MM = (0.2, 10.0)  # from the finest to the coarsest that a scanner of brains gives
GRID_TOLERANCE = 0.1  # voxels
SPACING_TOLERANCE = 0.01  # of an edge
_UNITS = {1: "metre", 3: "micrometre"}  # by xyzt_units; 2 is the millimetre, 0 is unknown
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

    @property
    def voxel_ml(self) -> float:
        """The volume of a voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    def gap(self, other: Grid) -> str | None:
        """In words, how another grid differs from this one, the usual one of a case; None if it does not."""
        if other.shape != self.shape:
            shapes = ["x".join(map(str, grid.shape)) for grid in (other, self)]
            return f"the shape is {shapes[0]}, the case's other files have {shapes[1]}"
        if gap_mm := self.corner_gap_mm(other):
            return f"the affine places a corner {gap_mm:.1f} mm away from where the case's other files have it"
        return None

    def corner_gap_mm(self, other: Grid) -> float:
        """How far apart the grids of one shape place a corner; 0 within the tolerance."""
        ends = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], [1], indexing="ij")).reshape(4, -1)
        gap_mm = float(np.abs(((other.affine - self.affine) @ ends)[:3]).max())
        return 0.0 if gap_mm <= GRID_TOLERANCE * min(self.spacing_mm) else gap_mm


def check_header(path: Path, image: Nifti1Image) -> None:
    """The one rule of what a header may say of place, size of a voxel and values, for every command.

    Where the header says its place twice (qform and sform), the sform counts, as nibabel and SimpleITK have it.

    Raises: DataError where it cannot be, or where qform and sform turn the voxels differently: whatever were predicted
        on such a scan might come out mirrored.
    """
    affine = np.asarray(image.affine, dtype=np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise DataError(f"{path} has an affine that is not of numbers: it does not say where its voxels lie")
    edges = check_edges(path, affine)
    if abs(np.linalg.det(affine[:3, :3])) < 0.1 * math.prod(edges):
        raise DataError(f"{path} has an affine whose axes fall together; convert the scan anew")
    slope = getattr(image.dataobj, "slope", 1.0)
    if not (math.isfinite(slope) and slope > 0):
        raise DataError(f"{path} scales its intensities by {slope:g}, expected a positive number (scl_slope)")
    qform = _qform(image.header)
    if qform is not None and int(image.header["sform_code"]) > 0 and _turn(qform) != _turn(affine):
        raise DataError(
            f"{path} says its place twice and not alike: its voxels run {_turn(qform)} by qform and {_turn(affine)} by "
            f"sform; convert the scan anew from DICOM, or take away the one that is wrong"
        )


def find_contradictions(image: Nifti1Image) -> tuple[str, ...]:
    """In words, each thing that a header says twice and not alike, where one of the two is known to be right."""
    header, affine = image.header, np.asarray(image.affine, dtype=np.float64)
    found = []
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    stated = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64))
    if not np.allclose(stated, edges, rtol=SPACING_TOLERANCE):
        found.append(f"pixdim says voxels of {_in_mm(stated)}, the affine {_in_mm(edges)}, which is what counts")
    qform, sform_code = _qform(header), int(header["sform_code"])
    if qform is not None and sform_code == int(header["qform_code"]):
        shape = tuple(image.shape[:3])
        if gap_mm := Grid(shape, affine).corner_gap_mm(Grid(shape, qform)):
            found.append(f"qform and sform name one space and differ by {gap_mm:.1f} mm; sform is what counts")
    unit = _UNITS.get(int(header["xyzt_units"]) & 7)
    if unit:
        found.append(f"its unit is the {unit}, but its numbers are taken for mm")
    return tuple(found)


def is_placed(header: Any) -> bool:
    """Whether a NIfTI header says where the voxels lie; nibabel makes up an affine where it does not."""
    return bool(int(header["qform_code"]) or int(header["sform_code"]))


def check_edges(path: Path, affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """The edges of a voxel in mm. Raises: DataError where they cannot be those of a scan of a brain."""
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    if not ((edges >= SPACING_MM[0]) & (edges <= SPACING_MM[1])).all():
        raise DataError(
            f"{path} has voxels of {_in_mm(edges)}, expected edges of {SPACING_MM[0]:g} to {SPACING_MM[1]:g} mm"
        )
    return edges


def open_placed(path: Path) -> Nifti1Image:
    """A NIfTI file whose orientation and spacing are known. Raises: DataError, as `check_header` does and without them.

    Whatever were predicted on a scan without orientation might come out mirrored.
    """
    image = read_nifti(path)
    if not is_placed(image.header):
        raise DataError(f"{path} {UNPLACED}")
    check_header(path, image)
    return image


def _qform(header: Any) -> NDArray[np.float64] | None:
    """The affine by the qform; None where there is none, or none that is of numbers."""
    if int(header["qform_code"]) <= 0:
        return None
    try:
        affine = np.asarray(header.get_qform(), dtype=np.float64)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError):
        return None
    return affine if np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 0 else None


def _turn(affine: NDArray[np.float64]) -> str:
    """Where the voxels' axes run to, such as LPS."""
    from nibabel.orientations import aff2axcodes

    return "".join(code or "?" for code in aff2axcodes(affine))


def _in_mm(edges: NDArray[np.float64]) -> str:
    return " x ".join(f"{edge:g}" for edge in edges) + " mm"
