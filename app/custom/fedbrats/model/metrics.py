"""Scores per region and case: Dice and IoU in every round, and all that a reviewer asks for on request.

The empty-region rule is that of the BraTS challenges: where neither the truth nor the prediction has the region, Dice
and IoU are 1 and HD95 is 0; where only one of them has it, Dice and IoU are 0 and HD95 is HD95_PENALTY_MM. Sensitivity
is undefined (None) where the truth is empty, and so is specificity where the truth is everything.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.regions import REGIONS

METRICS = ("dice", "iou")
DETAILED_METRICS = (*METRICS, "hd95_mm", "sensitivity", "specificity", "volume_difference_ml")
HD95_PENALTY_MM = 373.13  # the diagonal of a BraTS scan (240 x 240 x 155 voxels of 1 mm), as the challenges have it
EMPTY_REGION_RULE = (
    "region in neither truth nor prediction: Dice 1, IoU 1, HD95 0; in only one of them: Dice 0, IoU 0, "
    f"HD95 {HD95_PENALTY_MM} mm; sensitivity is undefined where the truth is empty"
)


@dataclass(frozen=True)
class CaseScore:
    """The metrics of one case, by region (WT, TC, ET)."""

    case: str
    patient: str
    dice: dict[str, float]
    iou: dict[str, float]


@dataclass(frozen=True)
class DetailedScore(CaseScore):
    """What a reviewer asks for besides. volume_difference_ml is the predicted volume less the true one."""

    hd95_mm: dict[str, float]
    sensitivity: dict[str, float | None]
    specificity: dict[str, float | None]
    volume_difference_ml: dict[str, float]


def score_case(case: str, patient: str, prediction: NDArray[np.generic], truth: NDArray[np.generic]) -> CaseScore:
    """Compare two masks (3, X, Y, Z), regions in the order of REGIONS; what is not 0 is inside."""
    overlaps = {name: _overlap(p, t) for name, p, t in zip(REGIONS, prediction, truth, strict=True)}
    return CaseScore(
        case,
        patient,
        dice={name: dice for name, (dice, _) in overlaps.items()},
        iou={name: iou for name, (_, iou) in overlaps.items()},
    )


def score_in_detail(
    case: str,
    patient: str,
    prediction: NDArray[np.generic],
    truth: NDArray[np.generic],
    spacing_mm: Sequence[float],
) -> DetailedScore:
    """Compare two masks (3, X, Y, Z) of voxels with these edges; for a full-size case this takes about a second."""
    overlap = score_case(case, patient, prediction, truth)
    voxel_ml = math.prod(spacing_mm) / 1000
    hd95_mm, sensitivity, specificity, difference_ml = {}, {}, {}, {}
    for name, p, t in zip(REGIONS, prediction.astype(bool), truth.astype(bool), strict=True):
        predicted, expected = int(np.count_nonzero(p)), int(np.count_nonzero(t))
        common = int(np.count_nonzero(p & t))
        outside = t.size - expected
        hd95_mm[name] = measure_hd95(p, t, spacing_mm)
        sensitivity[name] = common / expected if expected else None
        specificity[name] = (outside - predicted + common) / outside if outside else None
        difference_ml[name] = (predicted - expected) * voxel_ml
    return DetailedScore(case, patient, overlap.dice, overlap.iou, hd95_mm, sensitivity, specificity, difference_ml)


def measure_hd95(prediction: NDArray[np.bool_], truth: NDArray[np.bool_], spacing_mm: Sequence[float]) -> float:
    """The symmetric 95th percentile of the distances in mm between the surfaces of two masks (X, Y, Z).

    A surface is made of the mask's voxels with a face outside it. Of the two directions the larger percentile counts,
    as in MONAI, which computes it, and in the BraTS challenges. The empty-region rule is in the module's docstring.
    """
    import torch

    from fedbrats.model.monai_parts import compute_hausdorff_distance

    if not prediction.any() or not truth.any():
        return HD95_PENALTY_MM if prediction.any() or truth.any() else 0.0
    box = _box_of(prediction | truth)
    masks = (torch.from_numpy(np.ascontiguousarray(mask[box]))[None, None] for mask in (prediction, truth))
    spacing = [float(edge) for edge in spacing_mm]
    with warnings.catch_warnings():  # MONAI 1.6 warns of an argument that it passes itself
        warnings.simplefilter("ignore", FutureWarning)
        return float(compute_hausdorff_distance(*masks, include_background=True, percentile=95, spacing=spacing))


def partly_found(scores: Sequence[CaseScore]) -> dict[str, int]:
    """By region, of how many cases a mean tells something: those that are neither missed whole nor met exactly."""
    return {name: sum(0 < score.dice[name] < 1 for score in scores) for name in REGIONS}


def summarise(scores: Sequence[CaseScore], decimals: int | None = None) -> dict[str, dict[str, float]]:
    """Means over cases: `{"dice": {"mean", "WT", "TC", "ET"}, "iou": {...}}`; `mean` is over the regions.

    decimals: to which the means are rounded; None leaves them as they are.
    Raises: ValueError if there is no score to take a mean of.
    """
    if not scores:
        raise ValueError("there is no case to summarise")
    summary = {}
    for metric in METRICS:
        means = {name: float(np.mean([getattr(score, metric)[name] for score in scores])) for name in REGIONS}
        summary[metric] = {"mean": float(np.mean(list(means.values()))), **means}
    if decimals is None:
        return summary
    return {metric: {name: round(mean, decimals) for name, mean in means.items()} for metric, means in summary.items()}


def _overlap(prediction: NDArray[np.generic], truth: NDArray[np.generic]) -> tuple[float, float]:
    inside, expected = prediction.astype(bool), truth.astype(bool)
    total = int(np.count_nonzero(inside)) + int(np.count_nonzero(expected))
    if total == 0:
        return 1.0, 1.0
    common = int(np.count_nonzero(inside & expected))
    return 2 * common / total, common / (total - common)


def _box_of(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    sides = (np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3))
    return tuple(slice(int(side[0]), int(side[-1]) + 1) for side in sides)
