"""Scans whose headers and bytes are wrong: refused or warned about, never a traceback, never trained on silently."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbrats.data.cases.case import SEGMENTATION, Case, find_cases
from fedbrats.data.cases.datalist import read_datalist
from fedbrats.data.prepare.cache import CacheSettings
from fedbrats.data.prepare.preparation import PreparedCase, prepare
from fedbrats.data.regions import BRATS_2018
from fedbrats.errors import DataError
from tests.data.broken import copy_case
from tests.generated.asking import GENERATED, ask, attempt

# NIfTI-1: offset, struct format and values that nobody means.
NUMBERS = [float("nan"), float("inf"), -1.0, 0.0, 1e-30, 1e30, -1e-3, 3.4e38, 1e5, 1e-4]
FIELDS = {
    "sizeof_hdr": (0, "<i", [0, 347, -1, 2**31 - 1]),
    "dim[0]": (40, "<h", [0, 1, 2, 4, 7, -1, 32767]),
    "dim[1]": (42, "<h", [0, 1, -5, 43, 32767]),
    "dim[2]": (44, "<h", [0, 1, -5, 49, 32767]),
    "dim[3]": (46, "<h", [0, 1, -5, 43, 32767]),
    "dim[4]": (48, "<h", [0, 2, -1, 32767]),
    "datatype": (70, "<h", [0, 1, 2, 16, 32, 64, 128, 256, 512, 1536, 2304, -7]),
    "bitpix": (72, "<h", [0, 1, 7, 64, -8]),
    "pixdim[0]": (76, "<f", NUMBERS),
    "pixdim[1]": (80, "<f", NUMBERS),
    "pixdim[3]": (88, "<f", NUMBERS),
    "vox_offset": (108, "<f", [float("nan"), -1.0, 0.0, 1.0, 348.0, 1e9, float("inf")]),
    "scl_slope": (112, "<f", NUMBERS),
    "scl_inter": (116, "<f", NUMBERS),
    "qform_code": (252, "<h", [0, -1, 99, 32767]),
    "sform_code": (254, "<h", [0, -1, 99, 32767]),
    "quatern_b": (256, "<f", NUMBERS),
    "srow_x[0]": (280, "<f", NUMBERS),
    "srow_x[3]": (292, "<f", NUMBERS),
    "srow_z[2]": (320, "<f", NUMBERS),
    "magic": (344, "<4s", [b"\0\0\0\0", b"ni1\0", b"n+2\0", b"junk"]),
}
SETTINGS = CacheSettings(spacing_mm=8.0)


@st.composite
def header_changes(draw: st.DrawFn) -> tuple[str, int, bytes]:
    """A field of the header and other bytes for it."""
    name = draw(st.sampled_from(sorted(FIELDS)))
    offset, form, values = FIELDS[name]
    return name, offset, struct.pack(form, draw(st.sampled_from(values)))


@pytest.fixture(scope="module")
def sound(phantom_sites: Path, tmp_path_factory) -> Case:
    """A sound case, whose files are not compressed."""
    folder = tmp_path_factory.mktemp("sound")
    case = copy_case(read_datalist(phantom_sites / "site-1").training[0], folder, "BraTS20_Training_001")
    for path in case.files.values():
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    (case,) = find_cases(folder)
    return case


@pytest.fixture(scope="module")
def expected(sound: Case) -> PreparedCase:
    return prepare(sound, BRATS_2018, SETTINGS)


def judge(sound: Case, expected: PreparedCase, role: str, content: bytes) -> str:
    """What becomes of the case with this file: `refused`, `warned` or `the same`; anything else is silently wrong."""
    path = sound.files[role]
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        prepared, refused = attempt(prepare, sound, BRATS_2018, SETTINGS)
        answer = ask("check", path.parent, "--workers", "1", "--json")
        problems = json.loads(answer.out)["problems"]
    finally:
        path.write_bytes(before)
    if prepared is None:
        assert sound.name in refused
        return "refused"
    if problems:
        return "warned"
    assert prepared.geometry == expected.geometry
    np.testing.assert_array_equal(prepared.mask, expected.mask)
    np.testing.assert_allclose(prepared.image.astype(np.float32), expected.image.astype(np.float32), atol=0.02)
    return "the same"


@GENERATED
@given(change=header_changes(), role=st.sampled_from(["t1", "t1ce", "flair", SEGMENTATION]))
def test_a_header_that_lies_is_found_out(sound, expected, change, role):
    _, offset, content = change
    original = sound.files[role].read_bytes()
    judge(sound, expected, role, original[:offset] + content + original[offset + len(content) :])


@GENERATED
@given(data=st.data(), role=st.sampled_from(["t2", SEGMENTATION]))
def test_any_bytes_anywhere_in_a_header_end_in_a_verdict(sound, expected, data, role):
    original = bytearray(sound.files[role].read_bytes())
    for position in data.draw(st.lists(st.integers(0, 351), min_size=1, max_size=6)):
        original[position] = data.draw(st.integers(0, 255))
    with_any_verdict(sound, role, bytes(original))


@GENERATED
@given(
    length=st.integers(0, 400_000),
    form=st.sampled_from(["cut", "cut gzip", "gzip of nothing", "text", "zeros", "trailing"]),
)
def test_files_that_are_cut_or_something_else_end_in_a_verdict(sound, length, form):
    original = sound.files["flair"].read_bytes()
    content = {
        "cut": original[:length],
        "cut gzip": gzip.compress(original, 1)[: length // 4],
        "gzip of nothing": gzip.compress(b""),
        "text": b"<html>not found</html>" * (length // 100),
        "zeros": bytes(length),
        "trailing": original + bytes(length),
    }[form]
    with_any_verdict(sound, "flair", content)


def with_any_verdict(sound: Case, role: str, content: bytes) -> None:
    """The case is checked and prepared, or refused with a sentence; nothing else may happen."""
    path = sound.files[role]
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        prepared, refused = attempt(prepare, sound, BRATS_2018, SETTINGS)
        if prepared is None:
            assert sound.name in refused
        else:
            assert np.isfinite(prepared.image).all()
            assert prepared.mask.max() <= 1
        ask("check", path.parent, "--workers", "1", "--json")
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]}, "voxels, expected 1 to"),
        ({"pixdim": [1, 1e5, 4, 4, 1, 1, 1, 1], "sform_code": 0}, "mm, expected edges of"),
        ({"srow_x": [0, 0, 0, 0]}, "mm, expected edges of"),
        ({"srow_x": [np.nan, 0, 0, 0]}, "affine that is not of numbers"),
        ({"srow_x": [-4, -4, 0, 0], "srow_y": [0.1, 0, 0, 0]}, "axes fall together"),
        ({"scl_slope": -1.0, "scl_inter": 0.0}, "scales its intensities by -1"),
    ],
)
def test_what_such_files_are_refused_for(sound, tmp_path, changes, words):
    path = tmp_path / "scan_t1.nii"
    path.write_bytes(sound.files["t1"].read_bytes())
    header = nibabel.load(path).header.copy()
    for field, value in changes.items():
        header[field] = value
    path.write_bytes(header.binaryblock + path.read_bytes()[348:])
    from fedbrats.data.volumes import read_volume

    with pytest.raises(DataError, match=words):
        read_volume(path)


def test_a_modality_on_a_moved_grid_is_not_trained_on(sound, expected):
    """Its shape fits, so nothing but the affine tells."""
    image = nibabel.load(sound.files["t2"])
    affine = image.affine.copy()
    affine[0, 3] += 20
    moved = nibabel.Nifti1Image(np.asanyarray(image.dataobj), affine).to_bytes()
    assert judge(sound, expected, "t2", moved) == "refused"
