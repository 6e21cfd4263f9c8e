"""Lesion-wise Dice and surface Dice on masks whose scores can be told by hand."""

import numpy as np
import pytest

from fedbrats.model.lesions import lesion_dice
from fedbrats.model.metrics import measure_surface_dice, score_in_detail

MM = (1.0, 1.0, 1.0)


def cubes(*boxes):
    """A mask (60, 40, 40) with cubes: (corner along x, edge)."""
    mask = np.zeros((60, 40, 40), bool)
    for corner, edge in boxes:
        mask[corner : corner + edge, 10 : 10 + edge, 10 : 10 + edge] = True
    return mask


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [
        ([], [], 1.0),
        ([(5, 10)], [], 0.0),
        ([], [(5, 10)], 0.0),
        ([(5, 10)], [(5, 10)], 1.0),
        ([(5, 10)], [(5, 10), (40, 5)], 0.5),  # the small lesion is missed, and counts as much as the large one
        ([(5, 10), (40, 2)], [(5, 10)], 0.5),  # one is invented, however small
        ([(10, 10)], [(5, 10)], 0.5),  # half of it is met
        ([(5, 10)], [(5, 10), (40, 3)], 1.0),  # 27 mm3 are too small to count
        ([(5, 10), (40, 3)], [(5, 10), (40, 3)], 1.0),  # nor is finding it an invention
        ([(5, 10)], [(5, 10), (17, 5)], 2 * 1000 / (1000 + 1125)),  # 2 mm apart: one lesion of 1125 mm3
    ],
)
def test_lesion_dice_of_masks_that_can_be_counted(prediction, truth, expected):
    assert lesion_dice(cubes(*prediction), cubes(*truth), MM) == pytest.approx(expected)


def test_a_part_that_meets_two_lesions_belongs_to_both():
    truth = cubes((5, 10), (30, 10))
    bridge = truth.copy()
    bridge[15:30, 10, 10] = True
    assert lesion_dice(bridge, truth, MM) == pytest.approx(2 * 1000 / (1000 + 2015))


def test_lengths_and_volumes_are_in_millimetres():
    """3^3 voxels of 2 mm are 216 mm3; 4 voxels of 2 mm apart are two lesions, 2 voxels apart are one."""
    two = (2.0, 2.0, 2.0)
    assert lesion_dice(cubes((5, 10)), cubes((5, 10), (40, 3)), two) == pytest.approx(0.5)
    assert lesion_dice(cubes((5, 10)), cubes((5, 10), (21, 10)), two) == pytest.approx(0.5)
    assert lesion_dice(cubes((5, 10)), cubes((5, 10), (17, 10)), two) == pytest.approx(2 / 3)


def test_surface_dice_of_a_slab_that_is_moved():
    """A slab over the whole plane: its surfaces are two planes, both moved by 2 mm, besides a rim."""
    truth = np.zeros((20, 30, 30), bool)
    truth[8:12, 2:28, 2:28] = True
    moved = np.roll(truth, 2, axis=0)
    assert measure_surface_dice(truth, truth, MM, 0.5) == 1.0
    assert measure_surface_dice(moved, truth, MM, 2.0) == 1.0
    planes, rim = 2 * 26**2, 4 * 26 * 4
    assert measure_surface_dice(moved, truth, MM, 0.5) == pytest.approx(rim / 2 / (planes + rim), abs=0.05)


def test_a_tolerance_under_half_a_voxel_says_nothing():
    one = cubes((5, 10))
    assert measure_surface_dice(one, one, (2.0, 2.0, 2.0), 0.5) is None
    assert measure_surface_dice(one, one, (1.0, 1.0, 3.0), 1.0) is None
    assert measure_surface_dice(one, one, (2.0, 2.0, 2.0), 1.0) == 1.0
    score = score_in_detail("case", "patient", np.stack([one] * 3), np.stack([one, one, one & False]), (2.0, 2.0, 2.0))
    assert score.surface_dice_05mm == {"WT": None, "TC": None, "ET": None}
    assert score.surface_dice_2mm == {"WT": 1.0, "TC": 1.0, "ET": 0.0}
    assert score.lesion_dice == {"WT": 1.0, "TC": 1.0, "ET": 0.0}
