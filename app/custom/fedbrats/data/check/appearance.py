"""What the images of one case look like together: do they cover the same brain, is each what its name says?

Everything here is measured on arrays of one shape; thresholds were set on 40 patients of BraTS 2018, 2019 and 2021,
whose values are given beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.background import corners_of
from fedbrats.data.cases.case import MODALITIES

IDENTICAL_CORRELATION = 0.995  # rank correlation; two real modalities of one brain reach 0.90
EXCHANGE_MARGIN = 0.1  # in likeness; names exchanged win by 0.17 at least, right names lead by 0.17 at least
_TAIL_WEIGHT = 0.25
_SAMPLE_VOXELS = 40_000
_BRAIN_SHARE = 0.17  # of a BraTS volume

Images = Mapping[str, NDArray[np.generic]]  # by modality, all (X, Y, Z)
Exchange = tuple[str, str]


class Coverage(NamedTuple):
    """How much of the brain each modality shows, and how large that brain is."""

    share: dict[str, float]
    brain_voxels: int


def measure_coverage(images: Images) -> Coverage:
    """The share of the brain that each modality shows; the brain is where at least two of the others have signal.

    Two others, so that one modality with too much or too little is the one that stands out.
    """
    shown = {modality: image != 0 for modality, image in images.items()}
    counts = np.sum([mask.view(np.uint8) for mask in shown.values()], axis=0, dtype=np.uint8)
    share = {}
    for modality, mask in shown.items():
        brain = (counts - mask.view(np.uint8)) >= 2
        voxels = np.count_nonzero(brain)
        share[modality] = np.count_nonzero(brain & mask) / voxels if voxels else 1.0
    return Coverage(share, int(np.count_nonzero(counts >= min(2, len(images)))))


def corners_have_signal(image: NDArray[np.generic]) -> bool:
    """Whether the eight corners of the volume, where no brain is, hold anything but zero."""
    corners = corners_of(image)
    return bool(np.count_nonzero(corners) > 0.1 * corners.size)


def sample_brain(images: Images) -> NDArray[np.float64]:
    """Some 40,000 voxels that every modality shows, (modality, voxel), modalities in channel order."""
    shape = images[MODALITIES[0]].shape
    step = max(1, int((np.prod(shape) * _BRAIN_SHARE / _SAMPLE_VOXELS) ** (1 / 3)))
    sparse = np.stack([images[m][::step, ::step, ::step].ravel() for m in MODALITIES]).astype(np.float64)
    return sparse[:, (sparse != 0).all(axis=0)]


def rank_correlations(sample: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spearman correlations between modalities, (modality, modality), of voxels (modality, voxel)."""
    from scipy.stats import rankdata

    return np.corrcoef(rankdata(sample, axis=1))


def find_identical(correlations: NDArray[np.float64]) -> list[Exchange]:
    """The pairs of modalities that show the same image, whatever scale each has."""
    pairs = combinations(range(len(MODALITIES)), 2)
    return [(MODALITIES[a], MODALITIES[b]) for a, b in pairs if correlations[a, b] > IDENTICAL_CORRELATION]


def find_exchange(sample: NDArray[np.float64], correlations: NDArray[np.float64]) -> Exchange | None:
    """The two modalities whose names should be exchanged for the images to look as named, or None.

    T1 and T1ce rank tissues alike and T2 ranks them the other way round (fluid is dark in one and bright in the other;
    FLAIR is in between), and vessels and tumour make T1ce's bright tail longer than T1's. In each of development's
    cases each of the six exchanges is found, and none where there is none.
    """
    tails = np.log(_bright_tails(sample))
    named = list(range(len(MODALITIES)))

    def likeness(order: list[int]) -> float:
        t1, t1ce, t2, _ = order
        alike = correlations[t1, t1ce] - correlations[t1, t2] - correlations[t1ce, t2]
        return float(alike + _TAIL_WEIGHT * (tails[t1ce] - tails[t1]))

    gains = {}
    for a, b in combinations(named, 2):
        order = named.copy()
        order[a], order[b] = b, a
        gains[MODALITIES[a], MODALITIES[b]] = likeness(order) - likeness(named)
    best = max(gains, key=gains.__getitem__)
    return best if gains[best] > EXCHANGE_MARGIN else None


def _bright_tails(sample: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each modality's brightest thousandth lies above its median, in interquartile ranges."""
    quarter, median, three_quarters, brightest = np.percentile(sample, [25, 50, 75, 99.9], axis=1)
    tiny = np.finfo(np.float64).tiny
    return np.maximum(brightest - median, tiny) / np.maximum(three_quarters - quarter, tiny)
