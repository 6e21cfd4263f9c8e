"""Bytes are held against their own checksum and header; what is no NIfTI is called what it is."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import nibabel
import numpy as np
import pytest

from fedbrats.data.nifti import read_nifti
from fedbrats.data.volumes import read_volume
from fedbrats.errors import DataError
from tests.generated.asking import attempt
from tests.security.attacks import attack

VOXELS = np.random.default_rng(0).integers(0, 1000, (12, 11, 10)).astype(np.int16)


def content_of(dtype: type = np.int16, kind: type = nibabel.Nifti1Image) -> bytes:
    return kind(VOXELS.astype(dtype), np.diag([-1.0, -1, 1, 1])).to_bytes()


@pytest.mark.parametrize("level", [1, 9])
def test_no_flipped_bit_of_a_compressed_file_gives_other_voxels(tmp_path: Path, level: int) -> None:
    good = gzip.compress(content_of(), level, mtime=0)
    path = tmp_path / "a.nii.gz"
    refused = 0
    for position in range(0, len(good), max(1, len(good) // 150)):
        for bit in (0, 5):
            damaged = bytearray(good)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            volume, why = attempt(read_volume, path)
            if volume:  # the flip fell into what says nothing of voxels: the time of writing, the system
                np.testing.assert_array_equal(volume.voxels, VOXELS)
            refused += bool(why)
    assert refused > 250


@pytest.mark.parametrize("number", range(3))
def test_a_flipped_bit_in_the_checksum_or_the_length_is_found(tmp_path: Path, number: int) -> None:
    damaged = bytearray(gzip.compress(content_of(), 1))
    damaged[-1 - 3 * number] ^= 16
    (tmp_path / "a.nii.gz").write_bytes(damaged)
    with pytest.raises(DataError, match="gzip checksum does not fit"):
        read_nifti(tmp_path / "a.nii.gz")


def test_members_endings_and_what_lies_behind_do_not_matter(tmp_path: Path) -> None:
    whole = content_of()
    members = b"".join(gzip.compress(whole[start : start + 700]) for start in range(0, len(whole), 700))
    for name, content in {
        "bgzip.nii.gz": members,
        "padded.nii.gz": gzip.compress(whole) + bytes(512),
        "plain.nii.gz": whole,
        "zipped.nii": gzip.compress(whole),
        "padded.nii": whole + bytes(16),
        "nifti2.nii.gz": gzip.compress(content_of(kind=nibabel.Nifti2Image)),
    }.items():
        (tmp_path / name).write_bytes(content)
        np.testing.assert_array_equal(read_volume(tmp_path / name).voxels, VOXELS)
    flipped = bytearray(members)
    flipped[-40] ^= 8  # in the last member
    (tmp_path / "damaged.nii.gz").write_bytes(flipped)
    with pytest.raises(DataError, match="damaged"):
        read_nifti(tmp_path / "damaged.nii.gz")


@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_header_that_claims_fewer_or_more_voxels_is_found(tmp_path: Path, axis: int, name: str) -> None:
    for change in (-1, 1):
        content = bytearray(content_of())
        side = VOXELS.shape[axis - 1] + change
        content[40 + 2 * axis : 42 + 2 * axis] = side.to_bytes(2, "little")
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        with pytest.raises(DataError, match="cannot be read as NIfTI: it has"):
            read_nifti(path)


def test_a_file_that_inflates_without_end_is_refused_early(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content_of() + bytes(10**8)))
    with pytest.raises(DataError, match="more voxels than its header says"):
        read_nifti(tmp_path / "a.nii.gz")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (bytes(4000), "nothing but zeros"),
        (bytes(128) + b"DICM" + bytes(300), "it is a DICOM file; convert"),
        (b"NRRD0004\n" + bytes(300), "an NRRD file"),
        (b"PK\x03\x04" + bytes(300), "a zip archive; unpack"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        (b"subject,age\n", "it is text"),
        (b"\x80\x02ctorch", "does not begin as NIfTI does"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_is_called_what_it_is(tmp_path: Path, content: bytes, words: str, pack) -> None:
    (tmp_path / "a.nii.gz").write_bytes(pack(content))
    with pytest.raises(DataError, match=rf"a\.nii\.gz cannot be read as NIfTI: .*{words}"):
        read_nifti(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("stored", [np.uint8, np.int16, np.uint16, np.int32])
def test_labels_that_were_saved_as_fractions_are_whole(tmp_path: Path, stored: type) -> None:
    labels = np.zeros((9, 9, 9))
    labels[2:7, 2:7, 2:7], labels[3:6, 3:6, 3:6], labels[4, 4, 4] = 2, 1, 4
    image = nibabel.Nifti1Image(labels, np.eye(4))
    image.set_data_dtype(stored)
    nibabel.save(image, tmp_path / "a.nii.gz")  # nibabel invents a slope
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii.gz").labels, labels)


def test_interpolated_labels_stay_fractions(tmp_path: Path) -> None:
    labels = np.zeros((9, 9, 9), np.float32)
    labels[3:6, 3:6, 3:6], labels[2, 3:6, 3:6] = 2, 0.8
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), tmp_path / "a.nii.gz")
    assert sorted(np.unique(read_volume(tmp_path / "a.nii.gz").labels).tolist()) == pytest.approx([0, 0.8, 2])


def test_voxels_beyond_a_gigabyte_are_refused_by_their_header(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_shape((640, 640, 640))
    header.set_data_dtype(np.float64)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(header.binaryblock + bytes(2**20)))
    with pytest.raises(DataError, match="take 2097152000 bytes, expected at most 1073741824"):
        read_volume(tmp_path / "a.nii.gz")


@attack(
    "hang or fill a hospital's machine by a scan: a million gzip members, a link to a device, a pipe, voxels of 2 GiB",
    who="whoever gives a hospital a folder of cases",
    happens="read in time, or refused by its header or kind before anything is read",
    says="cannot be read as NIfTI: it is no regular file",
)
def test_a_file_of_a_million_parts_is_read_in_time_or_refused(tmp_path: Path) -> None:
    """zlib copies the rest of what it is given at the end of every member: a file of 12 MB took hours."""
    good, path = content_of(), tmp_path / "a.nii.gz"
    single = gzip.compress(good[:400]) + b"".join(gzip.compress(good[at : at + 1], 1) for at in range(400, len(good)))
    path.write_bytes(single)
    np.testing.assert_array_equal(read_volume(path).voxels, VOXELS)
    path.write_bytes(gzip.compress(good[:400]) + gzip.compress(b"", mtime=0) * 600_000 + gzip.compress(good[400:]))
    with pytest.raises(DataError, match="parts of its compressed content are empty"):
        read_volume(path)


def test_only_a_regular_file_is_opened(tmp_path: Path) -> None:
    """A device has no end, and a pipe waits for somebody who writes."""
    os.mkfifo(tmp_path / "pipe.nii")
    for name, target in (("zero.nii.gz", "/dev/zero"), ("folder.nii", tmp_path)):
        (tmp_path / name).symlink_to(target)
    for name in ("pipe.nii", "zero.nii.gz", "folder.nii"):
        with pytest.raises(DataError, match="no regular file"):
            read_volume(tmp_path / name)
