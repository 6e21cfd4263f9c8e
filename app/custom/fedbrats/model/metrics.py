"""Scores per region and case: Dice and IoU in every round, and all that a reviewer asks for on request.

The empty-region rule is that of the BraTS challenges: where neither the truth nor the prediction has the region, Dice
(of the whole, of lesions and of surfaces) and IoU are 1 and HD95 is 0; where only one of them has it, they are 0 and
HD95 is HD95_PENALTY_MM. Sensitivity is undefined (None) where the truth is empty, and so is specificity where the truth
is everything. A surface Dice is undefined where its tolerance is less than half of a voxel's longest edge: such a mask
has no surface as fine as that.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.box import box_of
from fedbrats.data.regions import REGIONS

METRICS = ("dice", "iou")
SURFACE_TOLERANCES_MM = {"surface_dice_05mm": 0.5, "surface_dice_1mm": 1.0, "surface_dice_2mm": 2.0}
DETAILED_METRICS = (
    *(*METRICS, "lesion_dice", *SURFACE_TOLERANCES_MM, "hd95_mm"),
    *("sensitivity", "specificity", "volume_difference_ml"),
)
HD95_PENALTY_MM = 373.13  # the diagonal of a BraTS scan (240 x 240 x 155 voxels of 1 mm), as the challenges have it
EMPTY_REGION_RULE = (
    "region in neither truth nor prediction: every Dice 1, IoU 1, HD95 0; in only one of them: every Dice 0, IoU 0, "
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
    """What a reviewer asks for besides.

    Attributes:
        lesion_dice: as `fedbrats.model.lesions` defines it, by which BraTS ranks since 2023.
        surface_dice_05mm, surface_dice_1mm, surface_dice_2mm: normalised surface Dice at these tolerances.
        volume_difference_ml: the predicted volume less the true one.
    """

    lesion_dice: dict[str, float]
    surface_dice_05mm: dict[str, float | None]
    surface_dice_1mm: dict[str, float | None]
    surface_dice_2mm: dict[str, float | None]
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
    """Compare two masks (3, X, Y, Z) of voxels with these edges; for a full-size case this takes some seconds."""
    from fedbrats.model.lesions import lesion_dice

    overlap = score_case(case, patient, prediction, truth)
    voxel_ml = math.prod(spacing_mm) / 1000
    found: dict[str, dict[str, Any]] = {metric: {} for metric in DETAILED_METRICS if metric not in METRICS}
    for name, p, t in zip(REGIONS, prediction.astype(bool), truth.astype(bool), strict=True):
        predicted, expected = int(np.count_nonzero(p)), int(np.count_nonzero(t))
        common = int(np.count_nonzero(p & t))
        outside = t.size - expected
        found["lesion_dice"][name] = lesion_dice(p, t, spacing_mm)
        for metric, tolerance_mm in SURFACE_TOLERANCES_MM.items():
            found[metric][name] = measure_surface_dice(p, t, spacing_mm, tolerance_mm)
        found["hd95_mm"][name] = measure_hd95(p, t, spacing_mm)
        found["sensitivity"][name] = common / expected if expected else None
        found["specificity"][name] = (outside - predicted + common) / outside if outside else None
        found["volume_difference_ml"][name] = (predicted - expected) * voxel_ml
    return DetailedScore(case, patient, overlap.dice, overlap.iou, **found)


def measure_surface_dice(
    prediction: NDArray[np.bool_], truth: NDArray[np.bool_], spacing_mm: Sequence[float], tolerance_mm: float
) -> float | None:
    """The share of both surfaces of two masks (X, Y, Z) that is within the tolerance of the other one.

    Normalised surface Dice (Nikolov 2021, doi 10.2196/26151) as MONAI computes it: by the areas of the surfaces, which
    run between voxels. None where the tolerance is less than half of a voxel's longest edge.
    """
    import torch

    from fedbrats.model.monai_parts import compute_surface_dice

    if tolerance_mm < max(spacing_mm) / 2:
        return None
    if not prediction.any() or not truth.any():
        return float(prediction.any() == truth.any())
    box = box_of(prediction | truth)
    masks = (torch.from_numpy(np.pad(mask[box], 1))[None, None] for mask in (prediction, truth))
    spacing = [float(edge) for edge in spacing_mm]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        found = compute_surface_dice(
            *masks, class_thresholds=[tolerance_mm], include_background=True, spacing=spacing, use_subvoxels=True
        )
    return float(found)


def measure_hd95(prediction: NDArray[np.bool_], truth: NDArray[np.bool_], spacing_mm: Sequence[float]) -> float:
    """The symmetric 95th percentile of the distances in mm between the surfaces of two masks (X, Y, Z).

    A surface is made of the mask's voxels with a face outside it. Of the two directions the larger percentile counts,
    as in MONAI, which computes it, and in the BraTS challenges. The empty-region rule is in the module's docstring.
    """
    import torch

    from fedbrats.model.monai_parts import compute_hausdorff_distance

    if not prediction.any() or not truth.any():
        return HD95_PENALTY_MM if prediction.any() or truth.any() else 0.0
    box = box_of(prediction | truth)
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
