"""Where the voxels of a scan lie in the patient, and a refusal where its file does not say so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fedbrats.errors import DataError

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

SPACING_MM = (0.2, 10.0)  # from the finest to the coarsest that a scanner of brains gives


def open_placed(path: Path) -> Nifti1Image:
    """Open a NIfTI file whose orientation and spacing are known; its voxels stay unread.

    Raises: DataError if the file says neither by qform nor by sform where its voxels lie, or gives an edge of a voxel
        that cannot be: whatever were predicted on it might come out mirrored.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        image = nibabel.load(path)
    except (OSError, EOFError, ValueError, ImageFileError) as error:
        raise DataError(f"{path} cannot be read as NIfTI: {error}") from None
    if not isinstance(image, nibabel.Nifti1Image):
        raise DataError(f"{path} is no NIfTI file")
    if not (int(image.header["qform_code"]) or int(image.header["sform_code"])):
        raise DataError(
            f"{path} does not say how its voxels lie in the patient (qform_code and sform_code are 0); "
            f"convert the scan anew from DICOM, or set the code if its affine is known to be right"
        )
    edges = np.linalg.norm(image.affine[:3, :3], axis=0)
    if not ((edges >= SPACING_MM[0]) & (edges <= SPACING_MM[1])).all():
        shown = " x ".join(f"{edge:g}" for edge in edges)
        raise DataError(f"{path} has voxels of {shown} mm, expected edges of {SPACING_MM[0]:g} to {SPACING_MM[1]:g} mm")
    return image
