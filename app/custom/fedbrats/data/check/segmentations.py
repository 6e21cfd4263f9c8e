"""What the segmentations of a data set say: label values, their volumes, and the convention that they follow."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.regions import (
    BRATS_2018,
    BRATS_2023,
    CONVENTIONS,
    LabelConvention,
    find_convention,
)
from fedbrats.errors import DataError

_OLD_ET, _NEW_ET = BRATS_2018.enhancing, BRATS_2023.enhancing
_ALL_VALUES = frozenset().union(*(convention.values for convention in CONVENTIONS.values()))
_CHOICE = f"--convention {'|'.join(CONVENTIONS)}"
LabelVolumes = dict[int, float]  # label value -> mL, background left out

_NAMES_OF_2018 = re.compile(r"brats_?(20)?(17|18|19|20|21)_|phantom_", re.IGNORECASE)
_NAMES_OF_2023 = re.compile(r"brats-[a-z]+-\d", re.IGNORECASE)


@dataclass(frozen=True)
class SettledConvention:
    """The label convention of a data set and why it is this one."""

    convention: LabelConvention
    reason: str
    is_assumed: bool = False  # no label tells; the case names were taken to


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


def settle_convention(
    labels: Mapping[str, Mapping[int, float]], chosen: LabelConvention | None = None
) -> SettledConvention:
    """The convention of a data set, from the label volumes of all its cases by case name; `chosen` overrules.

    Labels decide where they can; names decide only where no case has enhancing tumour; else nothing is guessed.
    Raises: DataError that asks for a convention.
    """
    if chosen:
        return SettledConvention(chosen, "as chosen")
    uses = Counter(value for volumes in labels.values() for value in volumes)
    known = {value for value in uses if value in _ALL_VALUES}  # a stray value is its case's problem, not the data set's
    if convention := find_convention(known):
        return SettledConvention(convention, f"the labels seen are {_listed(known)}")
    if {_NEW_ET, _OLD_ET} <= known:
        raise DataError(
            f"label {_NEW_ET} is in {uses[_NEW_ET]} and label {_OLD_ET} in {uses[_OLD_ET]} of {len(labels)} "
            f"segmentations, which fits several conventions or a mixture; choose one with {_CHOICE}"
        )
    for pattern, convention in ((_NAMES_OF_2018, BRATS_2018), (_NAMES_OF_2023, BRATS_2023)):
        if labels and all(pattern.match(name) for name in labels):
            return SettledConvention(convention, "no enhancing tumour is seen; the case names are of these years", True)
    raise DataError(
        f"no segmentation holds enhancing tumour (label {_NEW_ET} or {_OLD_ET}) and the case names tell no year; "
        f"choose the label convention with {_CHOICE}"
    )


def _listed(values: set[int]) -> str:
    return ", ".join(map(str, sorted(values)))
