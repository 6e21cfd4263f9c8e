"""Dice and IoU per region and case.

The empty-region rule is that of the BraTS challenges: where neither the truth nor the prediction has the region, both
metrics are 1; where only one of them has it, both are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.regions import REGIONS

METRICS = ("dice", "iou")


@dataclass(frozen=True)
class CaseScore:
    """The metrics of one case, by region (WT, TC, ET)."""

    case: str
    patient: str
    dice: dict[str, float]
    iou: dict[str, float]


def score_case(case: str, patient: str, prediction: NDArray[np.generic], truth: NDArray[np.generic]) -> CaseScore:
    """Compare two masks (3, X, Y, Z), regions in the order of REGIONS; what is not 0 is inside."""
    overlaps = {name: _overlap(p, t) for name, p, t in zip(REGIONS, prediction, truth, strict=True)}
    return CaseScore(
        case,
        patient,
        dice={name: dice for name, (dice, _) in overlaps.items()},
        iou={name: iou for name, (_, iou) in overlaps.items()},
    )


def summarise(scores: Sequence[CaseScore]) -> dict[str, dict[str, float]]:
    """Means over cases: `{"dice": {"mean", "WT", "TC", "ET"}, "iou": {...}}`; `mean` is over the regions.

    Raises: ValueError if there is no score to take a mean of.
    """
    if not scores:
        raise ValueError("there is no case to summarise")
    summary = {}
    for metric in METRICS:
        means = {name: float(np.mean([getattr(score, metric)[name] for score in scores])) for name in REGIONS}
        summary[metric] = {"mean": float(np.mean(list(means.values()))), **means}
    return summary


def _overlap(prediction: NDArray[np.generic], truth: NDArray[np.generic]) -> tuple[float, float]:
    inside, expected = prediction.astype(bool), truth.astype(bool)
    total = int(np.count_nonzero(inside)) + int(np.count_nonzero(expected))
    if total == 0:
        return 1.0, 1.0
    common = int(np.count_nonzero(inside & expected))
    return 2 * common / total, common / (total - common)
