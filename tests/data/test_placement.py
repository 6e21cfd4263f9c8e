"""A scan whose file does not say where its voxels lie is refused: a prediction on it might come out mirrored."""

import nibabel
import numpy as np
import pytest

from fedbrats.data.placement import open_placed
from fedbrats.errors import DataError


def write(path, affine, qform=0, sform=1):
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), affine)
    image.set_qform(affine, qform)
    image.set_sform(affine, sform)
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize(("qform", "sform"), [(1, 0), (0, 1), (1, 2)])
def test_either_code_will_do(tmp_path, qform, sform):
    image = open_placed(write(tmp_path / "a.nii.gz", np.diag([-1.0, -1, 2, 1]), qform, sform))
    assert np.allclose(image.affine, np.diag([-1.0, -1, 2, 1]))


def test_without_either_the_orientation_is_a_guess(tmp_path):
    with pytest.raises(DataError, match=r"qform_code and sform_code are 0"):
        open_placed(write(tmp_path / "a.nii.gz", np.eye(4), 0, 0))


@pytest.mark.parametrize("edge_mm", [0.01, 25.0])
def test_a_spacing_that_cannot_be_is_refused(tmp_path, edge_mm):
    with pytest.raises(DataError, match=rf"{edge_mm:g} mm"):
        open_placed(write(tmp_path / "a.nii.gz", np.diag([1.0, 1, edge_mm, 1])))


def test_what_is_no_nifti_is_refused(tmp_path):
    (tmp_path / "a.nii").write_bytes(b"nothing")
    with pytest.raises(DataError, match="NIfTI"):
        open_placed(tmp_path / "a.nii")
    with pytest.raises(DataError, match="NIfTI"):
        open_placed(tmp_path / "absent.nii")
