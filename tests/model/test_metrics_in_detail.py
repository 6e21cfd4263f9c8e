"""HD95, sensitivity, specificity and volumes against brute force: anisotropic voxels, empty and one-voxel regions."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics import compute_dice, compute_hausdorff_distance
from scipy.ndimage import shift

from fedbrats.model.metrics import (
    HD95_PENALTY_MM,
    measure_hd95,
    score_case,
    score_in_detail,
)

SPACINGS = st.tuples(*[st.sampled_from((0.5, 1.0, 1.25, 3.0, 6.0))] * 3)
MASKS = arrays(np.bool_, st.tuples(*[st.integers(1, 5)] * 3), elements=st.booleans())


def brute_force_hd95(a, b, spacing_mm) -> float:
    """Every pair of surface voxels; a surface voxel has one of its six neighbours outside the mask or the volume."""

    def surface(mask):
        padded = np.pad(mask, 1)
        inside = [padded[tuple(slice(1 + d * (k == axis), n + 1 + d * (k == axis)) for k, n in enumerate(mask.shape))]
                  for axis in range(3) for d in (-1, 1)]  # fmt: skip
        return np.argwhere(mask & ~np.all(inside, axis=0)) * np.array(spacing_mm)

    distances = np.linalg.norm(surface(a)[:, None] - surface(b)[None], axis=-1)
    return max(np.percentile(distances.min(axis=axis), 95) for axis in (0, 1))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), prediction=MASKS, spacing_mm=SPACINGS)
def test_hd95_is_that_of_all_pairs_of_surface_voxels(data, prediction, spacing_mm):
    truth = data.draw(arrays(np.bool_, prediction.shape, elements=st.booleans()))
    found = measure_hd95(prediction, truth, spacing_mm)
    if prediction.any() and truth.any():
        assert found == pytest.approx(brute_force_hd95(prediction, truth, spacing_mm), rel=1e-5, abs=1e-5)
    else:
        assert found == (HD95_PENALTY_MM if prediction.any() or truth.any() else 0.0)
    assert measure_hd95(truth, prediction, spacing_mm) == found


def test_two_single_voxels_are_as_far_apart_as_their_centres():
    a, b = np.zeros((2, 10, 12, 14), bool)
    a[2, 3, 4] = b[5, 3, 8] = True
    assert measure_hd95(a, b, (2.0, 1.0, 0.5)) == pytest.approx(np.hypot(3 * 2.0, 4 * 0.5))


@pytest.mark.parametrize(("axis", "edge_mm"), [(0, 1.0), (1, 2.0), (2, 5.0)])
def test_a_flat_mask_moved_by_one_voxel_is_off_by_that_voxel(axis, edge_mm):
    truth = np.zeros((12, 12, 12), bool)
    truth[tuple(5 if k == axis else slice(2, 9) for k in range(3))] = True
    moved = shift(truth, [k == axis for k in range(3)], order=0)
    assert measure_hd95(moved, truth, (1.0, 2.0, 5.0)) == pytest.approx(edge_mm)


def test_a_few_stray_voxels_do_not_count_but_many_do():
    truth = np.zeros((40, 20, 20), bool)
    truth[5:15, 5:15, 5:15] = True
    stray = truth.copy()
    stray[35, 10, 10] = True  # one of 489 surface voxels
    assert measure_hd95(stray, truth, (1, 1, 1)) == 0.0
    stray[35, 8:14, 8:14] = True  # 36 of them
    assert measure_hd95(stray, truth, (1, 1, 1)) == pytest.approx(21.0)


def test_the_other_metrics_by_hand():
    prediction, truth = np.zeros((2, 3, 4, 5, 2), np.uint8)  # 40 voxels of 6 mm3
    prediction[0, :3, 0, 0] = 1
    truth[0, :2, 0, 0] = 1
    prediction[1, 0, 0, 0] = 1
    truth[2, 0, 0, 0] = 1
    score = score_in_detail("case", "patient", prediction, truth, (1.0, 2.0, 3.0))
    assert score.sensitivity == {"WT": 1.0, "TC": None, "ET": 0.0}
    assert score.specificity == {"WT": 37 / 38, "TC": 39 / 40, "ET": 1.0}
    assert score.volume_difference_ml == pytest.approx({"WT": 0.006, "TC": 0.006, "ET": -0.006})
    assert (score.hd95_mm["TC"], score.hd95_mm["ET"]) == (HD95_PENALTY_MM, HD95_PENALTY_MM)
    overlap = score_case("case", "patient", prediction, truth)
    assert (score.dice, score.iou) == (overlap.dice, overlap.iou)


@settings(max_examples=30, deadline=None)
@given(mask=arrays(np.uint8, (3, 4, 3, 4), elements=st.integers(0, 1)))
def test_the_truth_itself_is_perfect(mask):
    score = score_in_detail("c", "p", mask, mask, (1, 1, 2))
    assert set(score.hd95_mm.values()) == {0.0}
    assert set(score.sensitivity.values()) <= {1.0, None}
    assert set(score.specificity.values()) <= {1.0, None}
    assert set(score.volume_difference_ml.values()) == {0.0}


def test_dice_is_monais_and_only_empty_regions_differ():
    rng = np.random.default_rng(0)
    prediction, truth = (rng.random((2, 3, 6, 7, 8)) < 0.3).astype(np.uint8)
    theirs = compute_dice(torch.from_numpy(prediction)[None], torch.from_numpy(truth)[None])[0]
    assert list(score_case("c", "p", prediction, truth).dice.values()) == pytest.approx(theirs.tolist())
    # MONAI calls a region that neither mask has NaN and leaves it out of its means; the challenges reward it.
    nothing = torch.zeros(1, 3, 4, 4, 4)
    assert torch.isnan(compute_dice(nothing, nothing)).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert not torch.isfinite(compute_hausdorff_distance(nothing, nothing, include_background=True)).any()
