"""The head of a varied phantom: hemispheres, temporal lobes, cerebellum and stem, with fluid and veins between them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.phantom.anatomy import Field, PhantomBox, Tissue, draw_brain, draw_ventricles

Mask = NDArray[np.bool_]
_PLAIN_SHARE = 0.1  # of the heads are plain ellipsoids


@dataclass(frozen=True)
class Head:
    """A healthy head on a box, all (X, Y, Z).

    Attributes:
        tissues: uint8 of Tissue.
        depth_mm: under the brain's surface; negative outside.
        below: cerebellum and brain stem, whose signals are their own.
    """

    tissues: NDArray[np.uint8]
    depth_mm: Field
    below: Mask


def draw_head(rng: np.random.Generator, box: PhantomBox, *, lobes: bool = True) -> Head:
    """A healthy head; without `lobes` it is an ellipsoid."""
    if not lobes or rng.random() < _PLAIN_SHARE:
        tissues, depth_mm = draw_brain(rng, box)
        return Head(tissues, depth_mm, np.zeros(box.shape, bool))
    cerebrum, cerebellum, stem = _draw_parts(rng, box)
    lower = np.maximum(cerebellum, stem)
    depth_mm = np.maximum(cerebrum, lower).astype(np.float32)
    below = (depth_mm > 0) & (lower > cerebrum)
    tissues = _draw_cerebrum(rng, box, depth_mm, below)
    _draw_cerebellum(rng, box, tissues, below & (cerebellum > stem), cerebellum)
    tissues[below & (stem >= cerebellum)] = Tissue.WHITE
    brain = depth_mm > 0
    gap = brain & (np.abs(cerebrum - lower) < rng.uniform(1.5, 5)) & (np.minimum(cerebrum, lower) > -4)
    tissues[gap] = Tissue.CSF
    if rng.random() < 0.7:  # bone between the temporal lobes and what is below
        tissues[gap & (box.z < rng.uniform(-30, -14)) & (np.abs(box.x) > rng.uniform(10, 20))] = Tissue.AIR
        brain = tissues != Tissue.AIR
    if rng.random() < 0.85:
        _draw_base(rng, box, tissues, brain & ~below)
    tissues[brain & draw_ventricles(rng, box) & ~below] = Tissue.CSF
    fourth = box.ellipsoid((0, 32, -36), (rng.uniform(3, 8), rng.uniform(4, 8), rng.uniform(6, 12)))
    tissues[brain & (fourth < 1)] = Tissue.CSF
    if rng.random() < 0.85:
        tissues[brain & _draw_sinuses(rng, box, depth_mm, gap, below)] = Tissue.VESSEL
    tissues[brain & (box.smooth_field(rng, 6.0) < -2.3) & (depth_mm < 18)] = Tissue.VESSEL
    return Head(tissues, depth_mm, below)


def add_look_alikes(rng: np.random.Generator, box: PhantomBox, head: Head) -> Head:
    """The head with healthy tissue that looks like tumour: bright white matter, and what takes up contrast agent."""
    from scipy.ndimage import distance_transform_edt

    tissues, depth_mm = head.tissues.copy(), head.depth_mm
    white = tissues == Tissue.WHITE
    if rng.random() < 0.5:  # caps around the ventricles
        ventricles = (tissues == Tissue.CSF) & (depth_mm > 22)
        near = distance_transform_edt(~ventricles) * box.spacing_mm < rng.uniform(2, 7)
        tissues[white & near & (box.smooth_field(rng, 14.0) > rng.uniform(-0.5, 1.0))] = Tissue.LESION
    spots = box.smooth_field(rng, float(rng.uniform(5, 9)))
    tissues[white & (spots > rng.uniform(1.9, 3.2))] = Tissue.LESION
    if rng.random() < 0.4:  # dura
        rind = (depth_mm > 0) & (depth_mm < rng.uniform(1.5, 4))
        tissues[rind & (box.smooth_field(rng, 25.0) > rng.uniform(0.3, 2.0))] = Tissue.VESSEL
    if rng.random() < 0.5:  # plexus
        deep = (tissues == Tissue.CSF) & (depth_mm > 25)
        tissues[deep & (box.smooth_field(rng, 7.0) > rng.uniform(0.8, 1.8))] = Tissue.VESSEL
    return replace(head, tissues=tissues)


def _draw_parts(rng: np.random.Generator, box: PhantomBox) -> tuple[Field, Field, Field]:
    """Depth in mm under the surface of the cerebrum, the cerebellum and the stem."""
    sizes = rng.normal(1, 0.05, 3)

    def part(centre: tuple[float, ...], radii: tuple[float, ...], rough: float = 0.06) -> Field:
        middle = np.array(centre) * sizes + rng.normal(0, 1.5, 3)
        sides = np.array(radii) * sizes * rng.normal(1, 0.05, 3)
        surface = 1 + rough * rng.uniform(0.3, 1) * box.smooth_field(rng, 18.0)
        return (surface - box.ellipsoid(tuple(middle), tuple(sides))) * float(sides.min())

    hemispheres = np.maximum(part((-8, 0, 8), (58, 82, 60)), part((8, 0, 8), (58, 82, 60)))
    flat = rng.uniform(0.45, 0.7)  # the base lies higher than an ellipsoid's
    under = np.maximum(0, (4 - box.z) / (60 * flat) - 0.45)
    temporal = np.maximum(part((-38, -14, -26), (24, 36, 23)), part((38, -14, -26), (24, 36, 23)))
    cerebellum = part((0, 44, -40), (50, 30, 25))
    notch = 8 * np.exp(-((box.x / 7) ** 2)) * (box.y > 45)
    stem = part((0, 20, -42), (15, 13, 36), rough=0.03)
    return np.maximum(hemispheres - 60 * under, temporal), cerebellum - notch, stem


def _draw_cerebrum(rng: np.random.Generator, box: PhantomBox, depth_mm: Field, below: Mask) -> NDArray[np.uint8]:
    """Grey matter along folds and in the nuclei, fluid in fissures and sulci, white matter elsewhere."""
    brain = depth_mm > 0
    tissues = np.where(brain, Tissue.WHITE, Tissue.AIR).astype(np.uint8)
    folds = np.abs(box.smooth_field(rng, float(rng.uniform(6, 11))))
    tissues[brain & ((depth_mm < 4.5) | ((folds < 0.75) & (depth_mm < 18)))] = Tissue.GREY
    nuclei = np.minimum(box.ellipsoid((17, 4, -2), (11, 23, 12)), box.ellipsoid((-17, 4, -2), (11, 23, 12)))
    tissues[(nuclei + 0.12 * box.smooth_field(rng, 12.0) < 1) & brain & ~below] = Tissue.GREY
    middle = np.abs(box.x + 1.5 * box.smooth_field(rng, 30.0)) < rng.uniform(1, 2.5)
    fissure = middle & (box.z > 12) & (depth_mm < 32)
    sulci = (folds < rng.uniform(0.12, 0.42)) & (depth_mm < rng.uniform(6, 22))
    tissues[brain & ~below & (sulci | fissure)] = Tissue.CSF
    tissues[brain & (depth_mm < rng.uniform(0.2, 2.5))] = Tissue.CSF
    return tissues


def _draw_base(rng: np.random.Generator, box: PhantomBox, tissues: NDArray[np.uint8], where: Mask) -> None:
    """Fluid at the base of the brain and between temporal and frontal lobes, and the arteries in it, into `tissues`."""
    uneven = box.smooth_field(rng, 10.0)
    basal = box.ellipsoid(
        (0, rng.uniform(-14, -4), rng.uniform(-26, -18)), (rng.uniform(10, 24), 14, rng.uniform(5, 11))
    )
    fluid = basal + 0.3 * uneven < 1
    width = rng.uniform(0.04, 0.2)
    for side in (-1, 1):
        lateral = box.ellipsoid((50 * side, rng.uniform(-16, -4), rng.uniform(-8, 2)), (15, 24, 13)) + 0.12 * uneven
        fluid |= (np.abs(lateral - 1) < width) & (np.abs(box.x) < rng.uniform(45, 60))
    fluid &= where
    tissues[fluid] = Tissue.CSF
    arteries = fluid & (box.smooth_field(rng, 5.0) > rng.uniform(0.7, 2.0))
    tissues[arteries] = Tissue.VESSEL


def _draw_cerebellum(
    rng: np.random.Generator, box: PhantomBox, tissues: NDArray[np.uint8], inside: Mask, depth_mm: Field
) -> None:
    """The folia of the cerebellum, thin layers one above the other, into `tissues`."""
    height = box.z + 0.5 * box.y + 5 * box.smooth_field(rng, 20.0)
    layers = np.sin(height * 2 * np.pi / rng.uniform(5, 10))
    outer = inside & (depth_mm < rng.uniform(12, 20))
    tissues[outer] = np.where(layers > rng.uniform(-0.6, 0.4), Tissue.GREY, Tissue.WHITE)[outer]
    tissues[outer & (layers > rng.uniform(0.85, 1.3))] = Tissue.CSF


def _draw_sinuses(rng: np.random.Generator, box: PhantomBox, depth_mm: Field, gap: Mask, below: Mask) -> Mask:
    """The sagittal, transverse and cavernous sinuses."""
    sagittal = (np.abs(box.x) < rng.uniform(1.5, 4)) & (box.z > 0) & (depth_mm < rng.uniform(2, 5))
    between = gap & (depth_mm < rng.uniform(3, 9)) & (box.smooth_field(rng, 20.0) > rng.uniform(-1.5, 0.5))
    rind = below & (depth_mm < rng.uniform(1, 5)) & (box.y > 30)
    transverse = rind & (box.smooth_field(rng, 16.0) > rng.uniform(-0.5, 1))
    cavernous = np.minimum(box.ellipsoid((13, -14, -28), (6, 11, 9)), box.ellipsoid((-13, -14, -28), (6, 11, 9)))
    return sagittal | between | transverse | (cavernous < rng.uniform(0.6, 1.3))
