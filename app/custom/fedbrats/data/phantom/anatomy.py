"""The anatomy of a phantom: a brain of tissues and a tumour in it, as functions of position in millimetres.

Every shape is drawn on lattices in millimetres, so that one seed gives one anatomy at any voxel size. Nothing here
knows of contrasts or scanners; `scanner.py` renders these tissues.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.regions import BRATS_2018

BOX_MM = (168.0, 192.0, 168.0)  # a brain with a margin; at 3 mm 56x64x56 voxels, at 1 mm 168x192x168
PHANTOM_CONVENTION = BRATS_2018

Field = NDArray[np.float32]


class Tissue(IntEnum):
    """What a voxel is made of."""

    AIR = 0
    CSF = 1
    GREY = 2
    WHITE = 3
    LESION = 4  # a small white-matter hyperintensity: looks like oedema and is none
    VESSEL = 5  # takes up contrast agent as enhancing tumour does
    OEDEMA = 6
    SOLID = 7  # tumour core that does not enhance
    NECROSIS = 8
    ENHANCING = 9


_LABELS = {
    Tissue.OEDEMA: PHANTOM_CONVENTION.oedema,
    Tissue.SOLID: PHANTOM_CONVENTION.core[0],
    Tissue.NECROSIS: PHANTOM_CONVENTION.core[0],
    Tissue.ENHANCING: PHANTOM_CONVENTION.enhancing,
}


@dataclass(frozen=True)
class TumourStatistics:
    """What the tumours of one site are like."""

    radius_mm: float = 15.0  # of the core, median over cases
    radius_spread: float = 0.25  # standard deviation of its logarithm
    oedema_mm: float = 11.0  # how far oedema reaches beyond the core, in white matter
    enhancing_share: float = 0.9  # of the cases; the others are like low-grade gliomas
    ring_mm: float = 4.0  # thickness of the enhancing ring
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 10.0)  # where tumours are most frequent, from the brain's centre
    centre_spread_mm: float = 30.0


@dataclass(frozen=True)
class Anatomy:
    """Tissues of one head in a box."""

    tissues: NDArray[np.uint8]  # (X, Y, Z) of Tissue
    oedema_strength: Field  # (X, Y, Z): 1 at the core, falling to nearly none at the oedema's edge

    @property
    def labels(self) -> NDArray[np.uint8]:
        """The segmentation (X, Y, Z) by PHANTOM_CONVENTION."""
        table = np.array([_LABELS.get(tissue, 0) for tissue in Tissue], dtype=np.uint8)
        return table[self.tissues]


class PhantomBox:
    """Voxel centres of the phantom's box, in mm from its middle, as three axes that broadcast against each other."""

    def __init__(self, spacing_mm: float) -> None:
        self.spacing_mm = spacing_mm
        self.shape = tuple(round(extent / spacing_mm) for extent in BOX_MM)
        self._axes = [((np.arange(n) - (n - 1) / 2) * spacing_mm).astype(np.float32) for n in self.shape]
        self.x, self.y, self.z = np.ix_(*self._axes)

    def smooth_field(self, rng: np.random.Generator, scale_mm: float) -> Field:
        """A Gaussian random field (X, Y, Z) of zero mean and unit variance that varies over `scale_mm`.

        White noise on a lattice of that spacing, seen through a Gaussian window: a separable sum, one axis at a time.
        """
        lattices = [np.arange(-extent / 2 - scale_mm, extent / 2 + 2 * scale_mm, scale_mm) for extent in BOX_MM]
        field = rng.standard_normal([len(lattice) for lattice in lattices]).astype(np.float32)
        for axis, lattice in zip(self._axes, lattices, strict=True):
            window = np.exp(-0.5 * ((axis[:, None] - lattice) / (0.7 * scale_mm)) ** 2)
            window /= np.linalg.norm(window, axis=1, keepdims=True)
            field = np.tensordot(field, window.astype(np.float32), axes=(0, 1))  # (A, B, C) -> (B, C, X), three times
        return field

    def ellipsoid(self, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Field:
        """The distance from `centre` in radii (X, Y, Z): below 1 inside the ellipsoid."""
        offsets = zip((self.x, self.y, self.z), centre, radii, strict=True)
        return np.sqrt(sum(((axis - c) / r) ** 2 for axis, c, r in offsets))


def draw_anatomy(rng: np.random.Generator, box: PhantomBox, statistics: TumourStatistics) -> Anatomy:
    """A head with one tumour."""
    tissues, depth_mm = draw_brain(rng, box)
    return _add_tumour(rng, box, statistics, tissues, depth_mm)


def draw_brain(rng: np.random.Generator, box: PhantomBox) -> tuple[NDArray[np.uint8], Field]:
    """Tissues of a healthy brain, and each voxel's depth under the brain's surface in mm."""
    width, length, height = np.array([67.0, 83.0, 68.0]) * rng.normal(1, 0.03, 3)
    height = np.where(box.z < 0, 0.82 * height, height)  # flatter below
    surface = np.sqrt((box.x / width) ** 2 + (box.y / length) ** 2 + (box.z / height) ** 2)
    depth_mm = (1 + 0.02 * box.smooth_field(rng, 22.0) - surface) * width
    tissues = np.where(depth_mm > 0, Tissue.WHITE, Tissue.AIR).astype(np.uint8)
    brain = tissues != Tissue.AIR
    folds = np.abs(box.smooth_field(rng, 10.0))
    tissues[brain & ((depth_mm < 4.5) | ((folds < 0.75) & (depth_mm < 18)))] = Tissue.GREY
    nuclei = np.minimum(box.ellipsoid((17, 4, -2), (11, 23, 12)), box.ellipsoid((-17, 4, -2), (11, 23, 12)))
    tissues[nuclei + 0.12 * box.smooth_field(rng, 12.0) < 1] = Tissue.GREY
    fissure = (np.abs(box.x + 1.5 * box.smooth_field(rng, 30.0)) < 2) & (box.z > 12) & (depth_mm < 32)
    sulci = (folds < 0.24) & (depth_mm < 14)
    tissues[brain & (sulci | fissure | (depth_mm < 1.2))] = Tissue.CSF
    tissues[brain & draw_ventricles(rng, box)] = Tissue.CSF
    spots = box.smooth_field(rng, 6.0)
    tissues[(spots > 2.6) & (tissues == Tissue.WHITE)] = Tissue.LESION
    sinus = (np.abs(box.x) < 3.5) & (box.z > 0) & (depth_mm < 4)
    tissues[brain & (sinus | ((spots < -2.3) & (depth_mm < 18)))] = Tissue.VESSEL
    return tissues, depth_mm


def draw_ventricles(rng: np.random.Generator, box: PhantomBox) -> NDArray[np.bool_]:
    """Two curved lateral ventricles and the slit of the third; their width varies from person to person."""
    width, length, height = rng.uniform(5, 10), rng.uniform(26, 36), rng.uniform(8, 13)
    bend = 7 + width / 2 + 9 * (box.y / 34) ** 2
    shape = ((np.abs(box.x) - bend) / width) ** 2 + ((box.y + 4) / length) ** 2 + ((box.z - 12) / height) ** 2
    third = box.ellipsoid((0, 0, -2), (2.5, 12, 12))
    return (shape + 0.15 * box.smooth_field(rng, 14.0) < 1) | (third < 1)


def _add_tumour(
    rng: np.random.Generator, box: PhantomBox, statistics: TumourStatistics, tissues: NDArray[np.uint8], depth_mm: Field
) -> Anatomy:
    radius = float(np.clip(statistics.radius_mm * rng.lognormal(0, statistics.radius_spread), 6, 38))
    centre = _draw_centre(rng, statistics, radius)
    reach = _blobs(rng, box, centre, radius) + 0.16 * box.smooth_field(rng, 13.0)  # below 1 in the core
    extent_mm = statistics.oedema_mm * rng.lognormal(0, 0.3) * np.exp(0.45 * box.smooth_field(rng, 18.0))
    extent_mm *= np.where(tissues == Tissue.GREY, 0.4, 1.0)  # oedema spreads along white matter and shuns the cortex
    brain = tissues != Tissue.AIR
    core = brain & (reach < 1) & (depth_mm > 1)
    beyond = np.maximum(reach - 1, 0) * radius / extent_mm  # 0 at the core's border, 1 at the oedema's
    oedema = ~core & (beyond < 1) & np.isin(tissues, (Tissue.GREY, Tissue.WHITE, Tissue.LESION))

    tissues = tissues.copy()
    tissues[oedema] = Tissue.OEDEMA
    tissues[core] = _draw_core(rng, box, statistics, (1 - reach) * radius)[core]
    return Anatomy(tissues, np.clip(1 - 0.7 * beyond, 0, 1).astype(np.float32))


def _draw_centre(rng: np.random.Generator, statistics: TumourStatistics, radius_mm: float) -> NDArray[np.float64]:
    """Near the site's preferred place, and deep enough for most of the tumour to be inside the brain."""
    centre = rng.normal(statistics.centre_mm, statistics.centre_spread_mm)
    reach = float(np.linalg.norm(centre / np.array([67.0, 83.0, 60.0])))
    return centre * min(1.0, (1 - 0.6 * radius_mm / 67) / max(reach, 1e-6))


def _blobs(rng: np.random.Generator, box: PhantomBox, centre: NDArray[np.float64], radius_mm: float) -> Field:
    """Distance from the tumour's centre in radii: the smallest over a few ellipsoids that overlap."""
    offsets = np.vstack([np.zeros(3), rng.normal(0, 0.55 * radius_mm, (int(rng.integers(0, 3)), 3))])
    scales = np.append(1.0, rng.uniform(0.5, 0.8, len(offsets) - 1))
    return np.minimum.reduce(
        [
            box.ellipsoid(tuple(centre + offset), tuple(radius_mm * scale * rng.uniform(0.8, 1.25, 3)))
            for offset, scale in zip(offsets, scales, strict=True)
        ]
    )


def _draw_core(
    rng: np.random.Generator, box: PhantomBox, statistics: TumourStatistics, inside_mm: NDArray[np.floating]
) -> NDArray[np.uint8]:
    """The core's tissues (X, Y, Z), by each voxel's distance in mm from the core's border."""
    ring_mm = statistics.ring_mm * rng.lognormal(0, 0.25) * (1 + 0.7 * box.smooth_field(rng, 16.0))
    if rng.random() >= statistics.enhancing_share:  # as in low-grade gliomas, where little enhances or nothing
        spots = box.smooth_field(rng, 9.0) > rng.choice([1.7, np.inf])
        return np.where(spots, Tissue.ENHANCING, Tissue.SOLID).astype(np.uint8)
    within = np.where(box.smooth_field(rng, 15.0) > 1.0, Tissue.SOLID, Tissue.NECROSIS)
    return np.where(inside_mm < ring_mm, Tissue.ENHANCING, within).astype(np.uint8)
