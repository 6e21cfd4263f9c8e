"""A NIfTI file is read whole or refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from fedbrats.data.phantom.cohort import write_nifti
from fedbrats.data.volumes import read_volume
from fedbrats.errors import DataError

VOXELS = np.random.default_rng(0).integers(0, 1000, (8, 9, 10)).astype(np.int16)
AFFINE = np.diag([-1.0, -2.0, 3.0, 1.0])


def test_voxels_and_place(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz", VOXELS, AFFINE)
    volume = read_volume(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(volume.voxels, VOXELS)
    assert volume.voxels.dtype == np.int16
    assert volume.spacing_mm == pytest.approx((1, 2, 3))
    assert volume.voxel_ml == pytest.approx(0.006)


def test_further_axes_of_length_1_are_left_out_and_others_are_not(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz", VOXELS, AFFINE)
    plain = read_volume(tmp_path / "a.nii.gz")
    for shape in ((8, 9, 10, 1), (8, 9, 10, 1, 1)):
        nibabel.save(nibabel.Nifti1Image(VOXELS.reshape(shape), AFFINE), tmp_path / "b.nii.gz")
        volume = read_volume(tmp_path / "b.nii.gz")
        np.testing.assert_array_equal(volume.voxels, VOXELS)
        assert volume.fingerprint == plain.fingerprint
    nibabel.save(nibabel.Nifti1Image(np.stack([VOXELS, VOXELS], axis=-1), AFFINE), tmp_path / "c.nii.gz")
    assert read_volume(tmp_path / "c.nii.gz").voxels.shape == (8, 9, 10, 2)


def test_a_fingerprint_is_of_the_content_alone(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz", VOXELS, AFFINE)
    nibabel.save(nibabel.Nifti1Image(VOXELS.astype(np.float64), np.eye(4)), tmp_path / "b.nii")
    write_nifti(tmp_path / "c.nii.gz", VOXELS[::-1], AFFINE)
    one, same, other = (read_volume(tmp_path / name).fingerprint for name in ("a.nii.gz", "b.nii", "c.nii.gz"))
    assert one == same != other


def test_air_stays_zero_in_a_file_with_a_slope_and_an_intercept(tmp_path: Path) -> None:
    """nibabel writes numbers of both signs as int16 so that their range fits, and then no whole number stands for 0."""
    values = np.zeros((8, 9, 10), np.float32)
    values[2:6, 2:7, 3:8] = np.random.default_rng(0).uniform(-300, 700, (4, 5, 5))
    image = nibabel.Nifti1Image(values, AFFINE)
    image.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "a.nii.gz")
    written = nibabel.load(tmp_path / "a.nii.gz")
    step = written.dataobj.slope
    air = values == 0
    as_nibabel_reads = np.asanyarray(written.dataobj)
    assert (as_nibabel_reads[air] != 0).all()
    found = read_volume(tmp_path / "a.nii.gz").voxels
    assert (found[air] == 0).all()
    np.testing.assert_array_equal(found[~air], as_nibabel_reads[~air])
    np.testing.assert_allclose(found, values, atol=step)


def test_numbers_without_an_intercept_or_a_slope_stay_as_they_are(tmp_path: Path) -> None:
    for slope, intercept in ((0.5, 0.0), (1.0, -0.25), (np.nan, 3.0)):
        path = tmp_path / f"{slope}.nii"
        content = bytearray(nibabel.Nifti1Image(VOXELS, AFFINE).to_bytes())
        content[112:120] = np.array([slope, intercept], "<f4").tobytes()  # nibabel would choose its own
        path.write_bytes(content)
        read = np.asanyarray(nibabel.load(path).dataobj)
        np.testing.assert_array_equal(read_volume(path).voxels, read)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, kept: float) -> None:
    path = tmp_path / name
    nibabel.save(nibabel.Nifti1Image(VOXELS, AFFINE), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match=f"{name} cannot be read as NIfTI") as caught:
        read_volume(path)
    assert "\n" not in str(caught.value)


def test_a_flipped_byte_in_a_compressed_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    write_nifti(path, VOXELS, AFFINE)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as NIfTI"):
        read_volume(path)


def test_colours_are_refused(tmp_path: Path) -> None:
    colours = np.zeros((4, 4, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(DataError, match="expected one real number a voxel"):
        read_volume(tmp_path / "a.nii")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.nii is not there"):
        read_volume(tmp_path / "no.nii")
