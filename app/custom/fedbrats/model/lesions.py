"""Lesion-wise Dice, by which the BraTS challenges rank since 2023: every lesion counts the same, whatever its size.

A reimplementation of what the challenge's evaluation does for glioma (github.com/rachitsaluja/BraTS-2023-Metrics),
with its lengths and volumes in millimetres, so that it also holds for voxels that are not of 1 mm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

DILATION_MM = 3.0  # parts of the truth that are nearer than twice this are one lesion
SMALLEST_MM3 = 50.0  # a lesion of the truth up to this size is not counted
_STEP = ndimage.generate_binary_structure(3, 2)  # of the dilation: 18 neighbours
_TOUCHING = ndimage.generate_binary_structure(3, 3)  # of a component: 26 neighbours
Mask = NDArray[np.bool_]


def lesion_dice(prediction: Mask, truth: Mask, spacing_mm: Sequence[float]) -> float:
    """The sum of the lesions' Dice over the number of lesions, missed and invented ones included.

    A predicted component belongs to every lesion whose dilation it meets, and to none where it is a false positive. The
    Dice of a lesion is that of the union of its components; that of a missed or an invented one is 0. Without any
    lesion on either side it is 1.

    Args:
        prediction, truth: of one region, (X, Y, Z).
        spacing_mm: the edges of a voxel.
    """
    edge_mm = math.prod(spacing_mm) ** (1 / 3)
    steps = max(1, round(DILATION_MM / edge_mm))
    if not (prediction.any() or truth.any()):
        return 1.0
    (whole,) = ndimage.find_objects((prediction | truth).astype(np.uint8))
    prediction, truth = (np.pad(mask[whole], steps) for mask in (prediction, truth))
    lesions, count = _label_lesions(truth, steps)
    components, found = ndimage.label(prediction, _TOUCHING)
    invented = set(range(1, found + 1))
    scores = []
    for number, box in enumerate(ndimage.find_objects(lesions, count), start=1):
        if box is None:
            continue
        around = tuple(slice(max(0, side.start - steps), side.stop + steps) for side in box)
        lesion = lesions[around] == number
        near = ndimage.binary_dilation(lesion, _STEP, iterations=steps)
        own = np.unique(components[around][near])
        own = own[own > 0]
        invented -= set(own.tolist())
        size = int(np.count_nonzero(lesion))
        if size * math.prod(spacing_mm) > SMALLEST_MM3:
            inside = int(np.isin(components[around][lesion], own).sum()) if own.size else 0
            scores.append(2 * inside / (size + int(np.isin(components, own).sum())) if own.size else 0.0)
    total = len(scores) + len(invented)
    return math.fsum(scores) / total if total else 1.0


def _label_lesions(truth: Mask, steps: int) -> tuple[NDArray[np.int32], int]:
    """(0 outside, else the number of the lesion (X, Y, Z); how many there are): parts whose dilations meet are one."""
    dilated = ndimage.binary_dilation(truth, _STEP, iterations=steps) if truth.any() else truth
    labels, count = ndimage.label(dilated, _TOUCHING)
    return np.where(truth, labels, 0).astype(np.int32), count
