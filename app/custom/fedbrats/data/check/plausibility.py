"""Whether a marked tumour can be one: its size, its place and the number of its parts.

In 50 real cases a tumour took 1 to 16 % of the brain, in 1 to 19 parts, and at most 0.01 % of it lay outside the brain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.box import box_of
from fedbrats.data.check.problems import REAL_CASES, Problem, make_problem

MAX_OUTSIDE_SHARE = 0.1  # of the tumour
MAX_BRAIN_SHARE = 0.3
FILLED_BRAIN_SHARE = 0.6
MORE_THAN_ANY = f", more than in any of {REAL_CASES} real cases"
MAX_PARTS = 100  # metastases are dozens


def judge_tumour(
    case_name: str,
    path: object,
    tumour: NDArray[np.bool_],
    shown: Mapping[str, NDArray[np.bool_]],
    brain_voxels: int,
    voxel_ml: float,
) -> Iterator[Problem]:
    """What is implausible of a tumour (X, Y, Z); `shown` is where each modality shows brain."""
    voxels = int(np.count_nonzero(tumour))
    outside = np.all([~mask[tumour] for mask in shown.values()], axis=0)  # one a tumour voxel
    if np.count_nonzero(outside) > MAX_OUTSIDE_SHARE * outside.size:
        text = f"{outside.mean():.0%} of the marked tumour is where no modality shows brain"
        yield make_problem(case_name, path, "tumour-outside-brain", text)
        return
    share = voxels / brain_voxels if brain_voxels else 0.0
    size = f"the marked tumour of {voxels * voxel_ml:.0f} mL is {share:.0%} of the brain"
    if share > FILLED_BRAIN_SHARE:
        yield make_problem(case_name, path, "no-tumour-map", f"{size}: this is a map of tissues or of the brain")
    elif share > MAX_BRAIN_SHARE:
        yield make_problem(case_name, path, "implausible-tumour", size + MORE_THAN_ANY)
    elif voxels and (parts := _count_parts(tumour)) > MAX_PARTS:
        yield make_problem(case_name, path, "implausible-tumour", f"the marked tumour is in {parts} parts")


def _count_parts(tumour: NDArray[np.bool_]) -> int:
    from scipy import ndimage

    return int(ndimage.label(tumour[box_of(tumour)])[1])
