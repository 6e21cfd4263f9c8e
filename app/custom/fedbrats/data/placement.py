"""Where the voxels of a scan lie in the patient, and a refusal where its file does not say so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fedbrats.data.volumes import check_edges
from fedbrats.errors import DataError

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image


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
    check_edges(path, image.affine)
    return image
