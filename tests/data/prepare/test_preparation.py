"""Preparation: what it keeps of a case, and that a prediction comes back to the scan's own grid."""

from dataclasses import replace

import nibabel
import numpy as np
import pytest

from fedbrats.data.cases.case import MODALITIES, Case, find_cases
from fedbrats.data.cases.datalist import read_datalist
from fedbrats.data.prepare.preparation import (
    Geometry,
    prepare,
    restore_probabilities,
)
from fedbrats.data.prepare.settings import CacheSettings
from fedbrats.data.regions import BRATS_2018, labels_to_regions
from fedbrats.errors import ConfigurationError, DataError
from tests.data.broken import BREAKAGES, break_case


@pytest.fixture
def case(phantom_sites) -> Case:
    return read_datalist(phantom_sites / "site-1").training[0]


def regions_of(case: Case) -> np.ndarray:
    return labels_to_regions(np.asanyarray(nibabel.load(case.label).dataobj), BRATS_2018)


def restore_mask(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """A prepared mask on its scan's own grid: at least half inside is inside."""
    return (restore_probabilities(mask.astype(np.float32), geometry) >= 0.5).astype(np.uint8)


def rewrite(case: Case, folder, change) -> Case:
    """The same case with every file passed through `change(voxels, affine)`."""
    folder.mkdir()
    written = {}
    for name, path in {**case.images, "seg": case.label}.items():
        image = nibabel.load(path)
        voxels, affine = change(np.asanyarray(image.dataobj), image.affine)
        written[name] = folder / path.name
        nibabel.save(nibabel.Nifti1Image(voxels, affine), written[name])
    return replace(case, images={m: written[m] for m in MODALITIES}, label=written["seg"])


def test_a_volume_is_cropped_to_the_brain_and_normalised_inside_it(case):
    prepared = prepare(case, BRATS_2018, CacheSettings())
    shown = np.stack([np.asanyarray(nibabel.load(p).dataobj) != 0 for p in case.image_paths])
    inside = np.argwhere(shown.any(axis=0))
    assert prepared.image.shape[1:] == tuple(np.ptp(inside, axis=0) + 1)
    assert prepared.image.dtype == np.float16
    assert prepared.mask.dtype == np.uint8
    for modality in prepared.image.astype(np.float64):
        brain = modality[modality != 0]
        assert abs(brain.mean()) < 0.01
        assert abs(brain.std() - 1) < 0.01


@pytest.mark.parametrize(
    "settings", [CacheSettings(), CacheSettings(spacing_mm=4.0), CacheSettings(normalisation="minmax")]
)
def test_a_mask_comes_back_exactly_where_the_grid_is_the_scans(case, settings):
    prepared = prepare(case, BRATS_2018, settings)
    np.testing.assert_array_equal(restore_mask(prepared.mask, prepared.geometry), regions_of(case))


@pytest.mark.parametrize("settings", [CacheSettings(spacing_mm=3.0), CacheSettings(shape=(32, 32, 32))])
def test_a_mask_comes_back_nearly_after_resampling(case, settings):
    prepared = prepare(case, BRATS_2018, settings)
    back, truth = restore_mask(prepared.mask, prepared.geometry), regions_of(case)
    assert back.shape == truth.shape
    assert 2 * (back[0] & truth[0]).sum() / (back[0].sum() + truth[0].sum()) > 0.8


def test_the_shape_asked_for_is_the_shape_given(case):
    assert prepare(case, BRATS_2018, CacheSettings(shape=(32, 40, 24))).image.shape == (4, 32, 40, 24)


def test_coarser_spacing_is_as_if_the_scan_had_been_coarser(case):
    prepared = prepare(case, BRATS_2018, CacheSettings(spacing_mm=8.0))
    assert prepared.geometry.spacing_mm == pytest.approx((8.0, 8.0, 8.0), rel=0.02)
    assert (np.diff(prepared.mask.astype(int), axis=0) <= 0).all()  # still nested


def test_another_voxel_order_gives_the_same_arrays_and_comes_back(case, tmp_path):
    def turn(voxels, affine):
        image = nibabel.Nifti1Image(voxels, affine)
        target = nibabel.orientations.axcodes2ornt("ASR")
        turned = image.as_reoriented(
            nibabel.orientations.ornt_transform(nibabel.orientations.io_orientation(affine), target)
        )
        return np.asanyarray(turned.dataobj), turned.affine

    turned = rewrite(case, tmp_path / "turned", turn)
    expected, found = (prepare(c, BRATS_2018, CacheSettings()) for c in (case, turned))
    np.testing.assert_array_equal(found.image, expected.image)
    np.testing.assert_array_equal(found.mask, expected.mask)
    np.testing.assert_array_equal(restore_mask(found.mask, found.geometry), regions_of(turned))


def test_probabilities_keep_their_range_on_the_way_back(case):
    prepared = prepare(case, BRATS_2018, CacheSettings(spacing_mm=5.0))
    probabilities = np.random.default_rng(0).random(prepared.mask.shape, dtype=np.float32)
    back = restore_probabilities(probabilities, prepared.geometry)
    assert back.min() >= 0
    assert back.max() <= 1


def test_a_case_without_segmentation_has_no_mask(case):
    assert prepare(replace(case, label=None), BRATS_2018, CacheSettings()).mask is None


def test_files_on_different_grids_are_refused_by_name(case, tmp_path):
    cut = tmp_path / case.images["flair"].name
    image = nibabel.load(case.images["flair"])
    nibabel.save(image.slicer[:-2], cut)
    broken = replace(case, images={**case.images, "flair": cut})
    with pytest.raises(DataError, match=rf"{case.name}: {cut.name}: .* one grid"):
        prepare(broken, BRATS_2018, CacheSettings())


def test_a_segmentation_on_another_grid_is_refused_by_name(case, tmp_path):
    moved = tmp_path / case.label.name
    image = nibabel.load(case.label)
    nibabel.save(nibabel.Nifti1Image(np.asanyarray(image.dataobj)[::-1], image.affine @ np.diag([-1, 1, 1, 1])), moved)
    with pytest.raises(DataError, match=rf"{case.name}: {moved.name}: .* mm away .* its images' grid"):
        prepare(replace(case, label=moved), BRATS_2018, CacheSettings())


@pytest.mark.parametrize("breakage", ["unplaced", "unplaced-segmentation"])
def test_a_file_that_does_not_say_where_it_lies_is_refused_by_name(case, tmp_path, breakage):
    broken = break_case(case, tmp_path, "Phantom_x", BREAKAGES[breakage])
    named = broken.files[BREAKAGES[breakage].role].name
    with pytest.raises(DataError, match=rf"Phantom_x: {named} does not say how its voxels lie .* DICOM"):
        prepare(broken, BRATS_2018, CacheSettings())


def test_a_scaled_image_keeps_its_box_and_the_air_out_of_the_mean(case, tmp_path):
    """int16 with an intercept stores no exact 0; its brain is that of the same numbers in float32."""

    def centre(image):
        voxels = image.get_fdata(dtype=np.float32)
        moved = voxels * (1000 / voxels.max()) - 300
        moved[np.abs(moved) < 1] = 1
        return np.where(voxels == 0, 0, moved).astype(np.float32)

    def stored_as(dtype):
        (tmp_path / dtype).mkdir()
        paths = {}
        for modality, path in case.images.items():
            image = nibabel.load(path)
            paths[modality] = tmp_path / dtype / path.name
            changed = nibabel.Nifti1Image(centre(image), image.affine)
            changed.set_data_dtype(dtype)
            nibabel.save(changed, paths[modality])
        return prepare(replace(case, images=paths), BRATS_2018, CacheSettings())

    expected, found = stored_as("float32"), stored_as("int16")
    assert found.geometry == expected.geometry
    np.testing.assert_allclose(found.image.astype(float), expected.image.astype(float), atol=0.02)


def test_nan_and_empty_images_are_refused_by_name(case, tmp_path):
    for spoil, said in ((lambda v: v * np.nan, "NaN"), (lambda v: v * 0, "empty")):
        path = tmp_path / f"{said}.nii.gz"
        image = nibabel.load(case.images["t2"])
        nibabel.save(nibabel.Nifti1Image(spoil(image.get_fdata(dtype=np.float32)), image.affine), path)
        with pytest.raises(DataError, match=f"{case.name}.*{path.name}.*{said}"):
            prepare(replace(case, images={**case.images, "t2": path}), BRATS_2018, CacheSettings())


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"spacing": 2}, "did you mean spacing_mm"),
        ({"spacing_mm": "two"}, "a number from 0.2 to 20 or null"),
        ({"normalisation": "histogram"}, "zscore, minmax"),
        ({"shape": [128, 128]}, "three whole numbers"),
        ({"shape": [64, 64, 64], "spacing_mm": 2}, "exclude each other"),
    ],
)
def test_settings_that_cannot_be_are_refused(document, said):
    with pytest.raises(ConfigurationError, match=said):
        CacheSettings.from_json(document)


@pytest.mark.real_data
def test_full_size_at_2_mm_is_the_half_size_data_set(real_data):
    """The half-size cases are block averages of the full-size ones with labels by majority vote."""
    half = {case.name: case for case in find_cases(real_data / "brats-mini")}
    full = [case for case in find_cases(real_data / "brats-full") if case.name in half]
    assert full
    for case in full[:2]:
        found = prepare(case, BRATS_2018, CacheSettings(spacing_mm=2.0))
        expected = prepare(half[case.name], BRATS_2018, CacheSettings())
        assert found.geometry.box == expected.geometry.box
        assert np.abs(found.image.astype(float) - expected.image).mean() < 0.02
        for mine, theirs in zip(found.mask, expected.mask, strict=True):
            assert 2 * (mine & theirs).sum() / (mine.sum() + theirs.sum()) > 0.93
