"""However a scan is stored, its prediction lies on its own grid, at the same place in the patient."""

from dataclasses import replace

import nibabel
import numpy as np
import pytest
import torch
from nibabel import orientations

from fedbrats.data.cases.case import MODALITIES, Case
from fedbrats.data.cases.datalist import read_datalist
from fedbrats.data.regions import BRATS_2018
from fedbrats.errors import DataError
from fedbrats.model.prediction import Predictor, read_truth
from fedbrats.model.saved import load_model
from tests.data.broken import BREAKAGES, break_case


@pytest.fixture(scope="module")
def case(phantom_sites) -> Case:
    return read_datalist(phantom_sites / "site-1").training[0]


class BrightFlair(torch.nn.Module):
    """Calls a voxel the likelier tumour the brighter it is on FLAIR: an answer that moves with the scan."""

    def forward(self, images):
        return 3 * (images[:, 3:] - torch.tensor([0.8, 1.2, 1.6]).reshape(1, 3, 1, 1, 1))


@pytest.fixture(scope="module")
def predictor(trained_results) -> Predictor:
    model = load_model(trained_results)
    model.network.net = BrightFlair()
    return Predictor(model, torch.device("cpu"))


@pytest.fixture(scope="module")
def expected(predictor, case):
    return predictor.predict(case)


def rewrite(case, folder, change) -> Case:
    """The case with every file passed through `change(image)`."""
    written = {}
    for role, path in case.files.items():
        written[role] = folder / path.name
        nibabel.save(change(nibabel.load(path)), written[role])
    label = written.pop("seg")
    return replace(case, images=written, label=label)


def mirror(image, order):
    """The image with its voxels in another order, still at the same place."""
    start = orientations.io_orientation(image.affine)
    return image.as_reoriented(orientations.ornt_transform(start, orientations.axcodes2ornt(order)))


def dice(a, b) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_there_is_something_to_compare(expected, case):
    assert expected.mask.shape == read_truth(case, BRATS_2018).shape
    assert 10 < expected.volumes_ml["WT"] < 1000


@pytest.mark.parametrize("order", ["RAS", "LPS", "PIR", "SAL", "ILA"])
def test_a_turned_or_mirrored_scan_gets_the_same_mask_turned_alike(predictor, case, expected, tmp_path, order):
    def turn(image):
        return mirror(image, order)

    turned = rewrite(case, tmp_path, turn)
    found = predictor.predict(turned)
    assert "".join(orientations.aff2axcodes(found.scan.affine)) == order
    as_expected = turn(nibabel.Nifti1Image(expected.mask[0], expected.scan.affine))
    np.testing.assert_array_equal(found.mask[0], np.asanyarray(as_expected.dataobj))
    np.testing.assert_allclose(found.scan.affine, as_expected.affine)
    assert found.volumes_ml == pytest.approx(expected.volumes_ml)


def test_an_oblique_scan_keeps_its_affine(predictor, case, expected, tmp_path):
    angle = np.radians(12)
    tilt = np.eye(4)
    tilt[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    oblique = rewrite(case, tmp_path, lambda image: nibabel.Nifti1Image(image.dataobj, tilt @ image.affine))
    found = predictor.predict(oblique)
    np.testing.assert_array_equal(found.mask, expected.mask)
    np.testing.assert_allclose(found.scan.affine, tilt @ expected.scan.affine, atol=1e-5)


LESION_MM, LESION_RADIUS_MM = np.array([22.0, -14.0, 10.0]), 24.0
SEEN_ML = 80.0  # of a ball of 58: where a third of a prepared voxel is lesion, it is bright enough


def scan_ball(folder, spacing_mm, tilt_degrees) -> Case:
    """A brain of 70 mm radius around the origin with a ball that is bright on FLAIR, on a grid of this spacing."""
    angle = np.radians(tilt_degrees)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine[:3, :3] *= spacing_mm
    shape = tuple(int(200 / edge) for edge in spacing_mm)
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2 + (3.0, -2.0, 5.0)
    places = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    brain = np.linalg.norm(places, axis=-1) < 70
    ball = np.linalg.norm(places - LESION_MM, axis=-1) < LESION_RADIUS_MM
    images = {modality: folder / f"{modality}.nii.gz" for modality in MODALITIES}
    for modality, path in images.items():
        values = np.where(ball, 400 if modality == "flair" else 90, 100) * brain
        nibabel.save(nibabel.Nifti1Image(values.astype(np.int16), affine), path)
    return Case("ball", "ball", images)


@pytest.mark.parametrize("tilt_degrees", [0, 20])
@pytest.mark.parametrize("spacing_mm", [(4.0, 4.0, 4.0), (3.0, 3.0, 3.0), (2.5, 2.5, 5.0), (6.0, 2.0, 3.0)])
def test_a_lesion_is_found_where_it_is_in_the_patient_on_any_grid(predictor, tmp_path, spacing_mm, tilt_degrees):
    found = predictor.predict(scan_ball(tmp_path, spacing_mm, tilt_degrees))
    assert found.spacing_mm == pytest.approx(spacing_mm)
    inside = np.argwhere(found.mask[0]) @ found.scan.affine[:3, :3].T + found.scan.affine[:3, 3]
    np.testing.assert_allclose(inside.mean(axis=0), LESION_MM, atol=1.5)
    assert np.linalg.norm(inside - LESION_MM, axis=1).max() < LESION_RADIUS_MM + 8  # one prepared voxel
    assert found.volumes_ml["WT"] == pytest.approx(SEEN_ML, rel=0.1)


def test_the_segmentation_is_never_looked_at(predictor, case, expected):
    found = predictor.predict(replace(case, label=None))
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_scores_are_on_the_grid_of_the_scan(predictor, case, expected):
    score = predictor.score(case, BRATS_2018)
    truth = read_truth(case, BRATS_2018)
    assert score.dice["WT"] == pytest.approx(dice(expected.mask[0] > 0, truth[0] > 0))
    assert score.volume_difference_ml["WT"] == pytest.approx(
        expected.volumes_ml["WT"] - np.count_nonzero(truth[0]) * 4.0**3 / 1000
    )


def test_flips_and_windows_see_the_same_where_a_voxel_speaks_for_itself(predictor, case, expected):
    for changes in ({"flips": True}, {"window": (8, 8, 8)}):
        found = replace(predictor, **changes).predict(case)
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)


@pytest.mark.parametrize("spoil", [lambda image: mirror(image, "RAS"), lambda image: image.slicer[1:]])
def test_a_truth_on_another_grid_is_not_compared(predictor, case, tmp_path, spoil):
    """Mirrored it has the shape of the scans, so that voxel by voxel a good prediction would score near 0."""
    label = tmp_path / case.label.name
    nibabel.save(spoil(nibabel.load(case.label)), label)
    for refuse in (read_truth, predictor.score):
        with pytest.raises(DataError, match=rf"case {case.name}: {label.name}: .* must lie on its images' grid"):
            refuse(replace(case, label=label), BRATS_2018)


def test_a_truth_is_placed_by_its_images(case, tmp_path):
    broken = break_case(case, tmp_path, "Phantom_x", BREAKAGES["unplaced-case"])
    with pytest.raises(DataError, match=r"case Phantom_x: .*_t1\.nii\.gz does not say how its voxels lie"):
        read_truth(broken, BRATS_2018)


class Failing(torch.nn.Module):
    """A network that does what is asked of it instead of predicting."""

    def __init__(self, work):
        super().__init__()
        self.work = work

    def forward(self, images):
        return self.work()


@pytest.mark.parametrize(
    ("window", "advice"), [(None, "give --window 96 96 96 or"), ((64, 64, 32), "give a smaller --window than 64 64 32")]
)
@pytest.mark.parametrize("take", [lambda: torch.empty(2**52, dtype=torch.uint8), lambda: np.empty(2**52, np.uint8)])
def test_a_case_that_does_not_fit_into_memory_says_what_to_do(trained_results, case, take, window, advice):
    model = load_model(trained_results)
    model.network.net = Failing(take)
    predictor = Predictor(model, torch.device("cpu"), window)
    for ask in (lambda: predictor.predict(case), lambda: predictor.score(case, BRATS_2018)):
        with pytest.raises(DataError, match=f"case {case.name} does not fit into memory: {advice}") as caught:
            ask()
        assert caught.value.__context__ is None  # what the case held in memory is free


def test_another_fault_of_a_network_is_no_matter_of_memory(trained_results, case):
    model = load_model(trained_results)
    model.network.net = Failing(lambda: torch.ones(2) @ torch.ones(3))
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        Predictor(model, torch.device("cpu")).predict(case)


def test_a_case_that_cannot_be_scored_is_named(predictor, case):
    with pytest.raises(DataError, match=rf"{case.name} has no segmentation"):
        predictor.score(replace(case, label=None), BRATS_2018)
