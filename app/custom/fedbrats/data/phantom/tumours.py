"""The tumours of a varied phantom: rings, solid and cystic ones, and those that do not enhance; one or several foci."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.phantom.anatomy import Field, PhantomBox, Tissue

Tissues = NDArray[np.uint8]
KINDS = {"ring": 0.62, "solid": 0.14, "low": 0.16, "cystic": 0.08}  # how often each is drawn; low: as low-grade gliomas
FOCI = {1: 0.84, 2: 0.11, 3: 0.05}
CORE = (Tissue.SOLID, Tissue.NECROSIS, Tissue.ENHANCING)
_RADIUS_MM = {"low": 25.0}  # of the core, median over cases
_OTHER_RADIUS_MM = 21.0
_OEDEMA_MM = ((2.0, 11.0, 20.0), (0.15, 0.45, 0.4))  # how far oedema reaches, and how often


@dataclass(frozen=True)
class Growth:
    """Tissues (X, Y, Z) with tumour in them, and how strong oedema is: 1 at the core, less outwards."""

    tissues: Tissues
    strength: Field


def draw_kind(rng: np.random.Generator) -> tuple[str, int]:
    """The kind of a tumour, and how many foci it has."""
    kind = rng.choice(list(KINDS), p=list(KINDS.values()))
    return str(kind), int(rng.choice(list(FOCI), p=list(FOCI.values())))


def grow(
    rng: np.random.Generator, box: PhantomBox, grown: Growth, depth_mm: Field, kind: str, scale: float, *, push: bool
) -> Growth:
    """One more focus.

    Args:
        depth_mm: under the brain's surface.
        scale: of the focus, against the usual size of its kind.
        push: whether it may push its surroundings away.
    """
    radius = float(np.clip(scale * _RADIUS_MM.get(kind, _OTHER_RADIUS_MM) * rng.lognormal(0, 0.38), 4, 36))
    centre = _draw_centre(rng, radius)
    reach = _draw_shape(rng, box, centre, radius)  # below 1 in the core
    tissues = grown.tissues
    if push and rng.random() < 0.6:
        tissues = _push_away(rng, box, tissues, centre, radius)
    extent = scale * float(rng.choice(_OEDEMA_MM[0], p=_OEDEMA_MM[1])) * rng.lognormal(0, 0.35)
    fingers = np.exp(rng.uniform(0.2, 0.7) * box.smooth_field(rng, float(rng.uniform(12, 26))))
    grey = np.where(tissues == Tissue.GREY, rng.uniform(0.2, 0.8), 1.0)  # oedema shuns the cortex
    core = (tissues != Tissue.AIR) & (reach < 1) & (depth_mm > 0.5)
    if rng.random() < 0.7:  # a core seldom fills ventricles
        core &= ~((tissues == Tissue.CSF) & (reach > rng.uniform(0.3, 0.9)))
    beyond = np.maximum(reach - 1, 0) * radius / (extent * fingers * grey)
    oedema = ~core & (beyond < 1) & np.isin(tissues, (Tissue.GREY, Tissue.WHITE, Tissue.LESION))
    out = tissues.copy()
    out[oedema] = Tissue.OEDEMA
    out[core] = _draw_core(rng, box, (1 - reach) * radius, kind)[core]
    fading = np.clip(1 - rng.uniform(0.0, 0.35) * beyond, 0, 1) * (oedema | core)
    return Growth(out, np.maximum(grown.strength, fading.astype(np.float32)))


def soften(rng: np.random.Generator, box: PhantomBox, grown: Growth) -> Growth:
    """The growth with oedema that is weaker within millimetres of its border, as voxels there hold healthy tissue."""
    from scipy.ndimage import gaussian_filter

    tumour = (grown.tissues >= Tissue.OEDEMA).astype(np.float32)
    inside = gaussian_filter(tumour, rng.uniform(0.5, 4.0) / box.spacing_mm)
    return Growth(grown.tissues, grown.strength * inside)


def _draw_centre(rng: np.random.Generator, radius_mm: float) -> NDArray[np.float64]:
    """Anywhere in the brain, and deep enough for most of the focus to be inside."""
    centre = rng.normal((0, 0, 8), (28, 35, 22))
    reach = float(np.linalg.norm(centre / np.array([67.0, 83.0, 60.0])))
    return centre * min(1.0, (1 - 0.5 * radius_mm / 67) / max(reach, 1e-6))


def _draw_shape(rng: np.random.Generator, box: PhantomBox, centre: NDArray[np.float64], radius_mm: float) -> Field:
    """Distance from the centre in radii: the smallest over a few ellipsoids that overlap, roughened."""
    offsets = np.vstack([np.zeros(3), rng.normal(0, 0.6 * radius_mm, (int(rng.integers(0, 4)), 3))])
    scales = np.append(1.0, rng.uniform(0.4, 0.85, len(offsets) - 1))
    blobs = [
        box.ellipsoid(tuple(centre + offset), tuple(radius_mm * scale * rng.uniform(0.7, 1.35, 3)))
        for offset, scale in zip(offsets, scales, strict=True)
    ]
    rough = rng.uniform(0.05, 0.3) * box.smooth_field(rng, float(rng.uniform(8, 18)))
    return np.minimum.reduce(blobs) + rough


def _draw_core(rng: np.random.Generator, box: PhantomBox, inside_mm: Field, kind: str) -> Tissues:
    """The core's tissues (X, Y, Z), by each voxel's distance in mm from the core's border."""
    field = box.smooth_field(rng, float(rng.uniform(8, 18)))
    if kind == "low":
        spots = field > rng.choice([1.6, 2.2, np.inf], p=[0.15, 0.25, 0.6])
        return np.where(spots, Tissue.ENHANCING, Tissue.SOLID).astype(np.uint8)
    if kind == "solid":
        holes = (field > rng.uniform(0.6, 2.0)) & (inside_mm > 2)
        return np.where(holes, Tissue.NECROSIS, Tissue.ENHANCING).astype(np.uint8)
    ring_mm = rng.lognormal(np.log(2.0 if kind == "cystic" else 5.2), 0.45) * (1 + rng.uniform(0.3, 1.0) * field)
    within = np.where(box.smooth_field(rng, 13.0) > rng.uniform(1.2, 3.0), Tissue.SOLID, Tissue.NECROSIS)
    within = np.where(box.smooth_field(rng, 7.0) > rng.uniform(1.0, 3.0), Tissue.ENHANCING, within)
    core = np.where(inside_mm < ring_mm, Tissue.ENHANCING, within)
    if rng.random() < 0.06:  # a rim that does not enhance
        rim_mm = rng.uniform(1, 5) * np.maximum(0, box.smooth_field(rng, 20.0))
        core = np.where(inside_mm < rim_mm, Tissue.SOLID, core)
    return core.astype(np.uint8)


def _push_away(
    rng: np.random.Generator, box: PhantomBox, tissues: Tissues, centre: NDArray[np.float64], radius_mm: float
) -> Tissues:
    """Tissues as a growing mass moves them: squeezed outwards, the more the nearer; the brain's outline stays."""
    from scipy.ndimage import map_coordinates

    amount, length = rng.uniform(0.2, 0.7), rng.uniform(0.6, 1.5) * radius_mm
    axes = (box.x, box.y, box.z)
    distance = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True)))
    factor = 1 - amount * np.exp(-distance / length)
    source = [
        (c + (axis - c) * factor) / box.spacing_mm + (n - 1) / 2
        for axis, c, n in zip(axes, centre, box.shape, strict=True)
    ]
    moved = map_coordinates(tissues, source, order=0, mode="nearest")
    inside = (tissues != Tissue.AIR) & (moved != Tissue.AIR)
    return np.where(inside, moved, tissues).astype(np.uint8)
