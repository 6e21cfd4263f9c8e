"""What a segmentation says: label values and their volumes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.regions import LabelConvention
from fedbrats.errors import DataError

LabelVolumes = dict[int, float]  # label value -> mL, background left out


def measure_labels(voxels: NDArray[np.generic], voxel_ml: float, path: Path) -> LabelVolumes:
    """The volume of each label. Raises: DataError if a value is no whole number; `path` is for its text."""
    values, counts = np.unique(voxels[voxels != 0], return_counts=True)  # most of a segmentation is background
    fractions = [value for value in values.tolist() if not float(value).is_integer()]
    if fractions:
        shown = ", ".join(f"{value:g}" for value in fractions[:3])
        raise DataError(f"{path} holds labels that are no whole numbers ({shown}); was it interpolated?")
    return {int(value): float(count) * voxel_ml for value, count in zip(values, counts, strict=True)}


def tumour_ml(labels: Mapping[int, float], convention: LabelConvention) -> float:
    """The volume of the whole tumour."""
    return sum(volume for value, volume in labels.items() if value not in convention.outside)
