"""What each label of a segmentation looks like: what lies around it, and how bright it is on T1ce.

Oedema lies around the core, and enhancing tumour is the brightest part on T1ce. In 47 of 50 real cases
oedema and core both have at least MIN_ML; in each of them oedema touched healthy tissue with at least 0.18 more of its
surface than the core did. Enhancing tumour was the brightest label in 49 of the 50.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.box import box_of
from fedbrats.data.regions import LabelConvention

CONTACT_MARGIN = 0.1  # of a surface
MIN_ML = 0.25  # of a label, to say anything
MOST_LABELS = 12
_FEWEST = 2  # cases that can object for a whole data set; one alone is that case's own problem


class LabelLook(NamedTuple):
    """ml: its volume. contact: the share of its surface at healthy tissue. brightness: its median's rank on T1ce."""

    ml: float
    contact: float
    brightness: float


Anatomy = Mapping[int, LabelLook]  # by label value


def measure_anatomy(labels: NDArray[np.generic], t1ce: NDArray[np.generic], voxel_ml: float) -> dict[int, LabelLook]:
    """The look of each label (X, Y, Z) of a case, of T1ce on the same grid; nothing where labels are too many."""
    box = box_of(labels != 0, margin=(1, 1, 1))
    inside = labels[box].astype(np.int64)
    values = np.unique(inside)
    if not 1 < values.size <= MOST_LABELS or values[0] != 0:
        return {}
    index = np.searchsorted(values, inside).astype(np.uint8)
    pairs = _faces(index, values.size)
    step = max(1, min(t1ce.shape) // 40)
    sample = t1ce[::step, ::step, ::step]
    sample = np.sort(sample[sample != 0])
    bright = t1ce[box]
    looks = {}
    for position, value in enumerate(values.tolist()):
        own = index == position
        surface = pairs[position].sum()
        if value and surface and sample.size:
            rank = np.searchsorted(sample, np.median(bright[own])) / sample.size
            looks[value] = LabelLook(float(own.sum()) * voxel_ml, float(pairs[position, 0] / surface), float(rank))
    return looks


def _faces(index: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """How many faces voxels of one label share with voxels of another, (count, count)."""
    pairs = np.zeros(count * count, np.int64)
    for axis in range(index.ndim):
        one, other = np.moveaxis(index, axis, 0)[:-1], np.moveaxis(index, axis, 0)[1:]
        apart = one != other
        pairs += np.bincount(one[apart].astype(np.int64) * count + other[apart], minlength=count * count)
    square = pairs.reshape(count, count)
    return square + square.T


def encloses(outer: int, inner: int, anatomies: Sequence[Anatomy], fewest: int = 1) -> bool:
    """Whether one label lies around another in most segmentations that have enough of both; `fewest` of them must."""
    votes = [
        anatomy[outer].contact - anatomy[inner].contact
        for anatomy in anatomies
        if min(anatomy.get(value, _NONE).ml for value in (outer, inner)) >= MIN_ML
    ]
    return len(votes) >= fewest and sum(vote > CONTACT_MARGIN for vote in votes) > len(votes) / 2


def contradicts(convention: LabelConvention, anatomies: Sequence[Anatomy]) -> str:
    """In words, how most segmentations contradict what a convention says of labels; empty where they do not."""
    core = convention.core[0]
    if encloses(core, convention.oedema, anatomies, fewest=_FEWEST):
        return f"label {core} lies around label {convention.oedema}, as oedema does around a core"
    others = [core, convention.oedema, *convention.outside]
    votes = [
        anatomy[convention.enhancing].brightness >= max(anatomy[value].brightness for value in own)
        for anatomy in anatomies
        if anatomy.get(convention.enhancing, _NONE).ml >= MIN_ML
        and (own := [value for value in others if anatomy.get(value, _NONE).ml >= MIN_ML])
    ]
    if len(votes) >= _FEWEST and sum(votes) < len(votes) / 2:
        return f"label {convention.enhancing} is not the brightest on T1ce, as enhancing tumour is"
    return ""


_NONE = LabelLook(0.0, 0.0, 0.0)
