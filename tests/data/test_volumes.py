"""A NIfTI file is read whole or refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from fedbrats.data.phantom_cohort import write_nifti
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


def test_a_fingerprint_is_of_the_content_alone(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz", VOXELS, AFFINE)
    nibabel.save(nibabel.Nifti1Image(VOXELS.astype(np.float64), np.eye(4)), tmp_path / "b.nii")
    write_nifti(tmp_path / "c.nii.gz", VOXELS[::-1], AFFINE)
    one, same, other = (read_volume(tmp_path / name).fingerprint for name in ("a.nii.gz", "b.nii", "c.nii.gz"))
    assert one == same != other


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
