"""A constant background is background whatever its value; prepared cases do not change with it."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from fedbrats.data.background import find_background, without_background
from fedbrats.data.cases.case import MODALITIES, Case, find_cases
from fedbrats.data.check.checks import check_case
from fedbrats.data.prepare.cache import CacheSettings
from fedbrats.data.prepare.preparation import prepare
from fedbrats.data.regions import BRATS_2018
from tests.data.broken import copy_case

SHIFTS = {
    "z-scored as a whole": lambda v: (v - v.mean()) / v.std(),
    "scaled to -1 to 1": lambda v: 2 * v / v.max() - 1,
    "Hounsfield-like": lambda v: v - 1024,
    "inverted sign of air": lambda v: np.where(v == 0, -7.5, v),
}


@pytest.fixture(scope="module")
def sound(phantom_sites: Path) -> Case:
    return find_cases(phantom_sites / "site-1")[0]


def rewritten(case: Case, folder: Path, change) -> Case:
    copied = copy_case(case, folder, "Phantom_x")
    for modality in MODALITIES:
        image = nibabel.load(copied.files[modality])
        voxels = change(np.asanyarray(image.dataobj).astype(np.float32))
        nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32), image.affine), copied.files[modality])
    return copied


@pytest.mark.parametrize("change", SHIFTS.values(), ids=SHIFTS)
@pytest.mark.parametrize("settings", [CacheSettings(spacing_mm=8.0), CacheSettings(normalisation="minmax")])
def test_a_constant_background_changes_nothing(sound: Case, tmp_path: Path, change, settings: CacheSettings) -> None:
    expected = prepare(sound, BRATS_2018, settings)
    shifted = rewritten(sound, tmp_path, change)
    found = prepare(shifted, BRATS_2018, settings)
    assert found.geometry == expected.geometry
    np.testing.assert_array_equal(found.mask, expected.mask)
    if change is not SHIFTS["inverted sign of air"]:  # there the air lies further from the brain than it did
        np.testing.assert_allclose(found.image.astype(float), expected.image.astype(float), atol=0.01)
    assert check_case(shifted, BRATS_2018) == []


@pytest.mark.parametrize("scale", [1e-4, 1.0, 40.0])
def test_noise_outside_the_brain_is_an_error(sound: Case, tmp_path: Path, scale: float) -> None:
    rng = np.random.default_rng(0)
    noisy = rewritten(sound, tmp_path, lambda v: np.where(v == 0, rng.rayleigh(scale, v.shape), v))
    problems = check_case(noisy, BRATS_2018)
    assert {problem.kind for problem in problems} >= {"not-skull-stripped"}
    assert all(problem.severity == "error" for problem in problems if problem.kind == "not-skull-stripped")


def test_the_background_is_what_most_corner_voxels_are() -> None:
    image = np.full((32, 32, 32), -3, np.int16)
    image[8:24, 8:24, 8:24] = 100
    image[0, 0, 0] = 5
    assert find_background(image) == -3
    found = without_background(image)
    assert found[0, 1, 0] == 0
    assert found[16, 16, 16] == 103
    assert find_background(np.arange(32**3).reshape(32, 32, 32)) is None
    zero = np.zeros((8, 8, 8), np.int16)
    assert without_background(zero) is zero
