"""A scan whose file does not say where its voxels lie is refused: a prediction on it might come out mirrored."""

import nibabel
import numpy as np
import pytest

from fedbrats.data.placement import open_placed
from fedbrats.data.volumes import read_volume
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
    with pytest.raises(DataError, match=r"absent\.nii is not there"):
        open_placed(tmp_path / "absent.nii")


def test_a_place_that_is_said_twice_and_mirrored_is_refused_by_every_reader(tmp_path):
    path = write(tmp_path / "a.nii.gz", np.diag([-1.0, -1, 2, 1]), 1, 1)
    image = nibabel.load(path)
    image.set_qform(np.diag([1.0, -1, 2, 1]), 1)
    nibabel.save(image, path)
    for read in (open_placed, read_volume):
        with pytest.raises(DataError, match="run RPS by qform and LPS by sform"):
            read(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image: image.set_qform(np.diag([-1.0, -1, 3, 1]), 1), "pixdim says voxels of 1 x 1 x 3 mm, the affine"),
        (lambda image: image.header.set_zooms((1, 1, 2.5)), "pixdim says voxels of 1 x 1 x 2.5 mm"),
        (lambda image: image.header.set_xyzt_units("meter"), "its unit is the metre"),
        (lambda image: image.set_qform(moved(image.affine, 7), 1), "differ by 7.0 mm"),
        (lambda image: image.set_qform(moved(image.affine, 7), 4), None),  # another space may lie elsewhere
        (lambda image: image.header.set_xyzt_units("mm"), None),
    ],
)
def test_what_a_header_says_twice_and_not_alike_is_said(tmp_path, change, words):
    path = write(tmp_path / "a.nii.gz", np.diag([-1.0, -1, 2, 1]))
    image = nibabel.load(path)
    change(image)
    nibabel.save(nibabel.Nifti1Image(np.asanyarray(image.dataobj), None, image.header), path)
    found = read_volume(path).contradictions
    assert bool(found) == (words is not None)
    assert words is None or any(words in each for each in found)


def moved(affine, by_mm):
    affine = affine.copy()
    affine[0, 3] += by_mm
    return affine
