"""The headers of the NIfTI files that we write: only what is needed, and the mark of a prediction.

A scan's header has free texts and extensions, where scanners and converters put names and numbers of patients. None of
them goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

MARK = "fedbrats"  # intent_name, 16 bytes
DESCRIPTION = "predicted by fedbrats, not a truth"  # descrip, 80 bytes
_OF_PLACE = ("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
_OF_AFFINE = ("srow_x", "srow_y", "srow_z")


def make_image(voxels: Any, scan: Nifti1Image) -> Nifti1Image:
    """An image of predicted voxels (X, Y, Z) on the grid of a scan: its affine, codes and unit, and our mark."""
    import nibabel

    header = nibabel.Nifti1Header()
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(voxels.shape)
    header["pixdim"][:4] = np.asarray(scan.header["pixdim"][:4])
    for field in (*_OF_PLACE, *_OF_AFFINE):
        header[field] = scan.header[field]
    header["xyzt_units"] = int(scan.header["xyzt_units"]) & 7  # of space
    header["intent_name"], header["descrip"] = MARK.encode(), DESCRIPTION.encode()
    return nibabel.Nifti1Image(voxels, scan.affine, header)


def is_predicted(header: Any) -> bool:
    """Whether a NIfTI header has our mark. What is no text is none."""
    return bytes(np.asarray(header["intent_name"]).tobytes()).rstrip(b"\0") == MARK.encode()
