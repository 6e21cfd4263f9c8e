"""Phantoms of every kind, drawn far wider than one hospital's: heads, tumours, contrasts, scanners and faults.

Domain randomisation (Tobin 2017, arXiv:1703.06907; Billot 2023, doi 10.1016/j.media.2023.102789): to a network that has
seen contrasts and shapes wider than the real ones, a real scan is one more variation. The ranges are set around
aggregate statistics of real cases (means and spreads of regions); no voxel of a patient is used.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.cases.case import MODALITIES
from fedbrats.data.phantom.anatomy import PhantomBox, Tissue
from fedbrats.data.phantom.contrast import Style, draw_signals, render
from fedbrats.data.phantom.defects import add_defects
from fedbrats.data.phantom.head import Head, add_look_alikes, draw_head
from fedbrats.data.phantom.tumours import CORE, Growth, draw_kind, grow, soften
from fedbrats.errors import ConfigurationError

SPACING_MM = 2.0
_LARGEST_TUMOUR_MM3 = 280e3
_SHRINKING = (1.0, 0.75, 0.5, 0.35)  # a tumour of a third of the brain is drawn again, smaller


@dataclass(frozen=True)
class Variety:
    """Which kinds of variation are drawn; each can be switched off, to see what it is worth.

    Attributes:
        contrast: the signals of tissues differ from case to case.
        kinds: multifocal, cystic and solid tumours, and tumours without enhancement; else rings alone.
        lobes: a brain of lobes, cerebellum and stem; else an ellipsoid.
        texture: tissues are uneven inside.
        look_alikes: bright healthy tissue: lesions of white matter, vessels, dura, plexus.
        resolution: thick slices, blur, noise, bias and contrast curves.
        defects: rests of skull, brain that is cut away, scans that cover a part.
        mass_effect: a tumour pushes its surroundings away.
    """

    contrast: bool = True
    kinds: bool = True
    lobes: bool = True
    texture: bool = True
    look_alikes: bool = True
    resolution: bool = True
    defects: bool = True
    mass_effect: bool = True

    @classmethod
    def without(cls, names: Iterable[str]) -> Variety:
        """All kinds of variation but those. Raises: ConfigurationError for a name that there is not."""
        known = [each.name for each in fields(cls)]
        for name in (names := list(names)):
            if name not in known:
                raise ConfigurationError(f"there is no kind of variation {name!r}; there are {', '.join(known)}")
        return cls(**dict.fromkeys(names, False))


def draw_variety(
    rng: np.random.Generator, variety: Variety = Variety(), spacing_mm: float = SPACING_MM
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """One phantom as training reads a case.

    Returns:
        The image, float32 (4, X, Y, Z), each modality z-scored over what it shows and 0 elsewhere; the mask of the
        nested regions, uint8 (3, X, Y, Z).
    """
    box = PhantomBox(spacing_mm)
    head = draw_head(rng, box, lobes=variety.lobes)
    brain = head.tissues != Tissue.AIR
    if variety.look_alikes:
        head = add_look_alikes(rng, box, head)
    kind, foci = draw_kind(rng) if variety.kinds else ("ring", 1)
    grown = _draw_tumour(rng, box, head, kind, foci, variety)
    signals = draw_signals(rng, kind, vary=variety.contrast)
    style = Style(texture=variety.texture, resolution=variety.resolution)
    image = np.stack(
        [render(rng, box, grown, head.below, signals, modality, style) for modality in range(len(MODALITIES))]
    )
    tissues = grown.tissues
    regions = (np.isin(tissues, (Tissue.OEDEMA, *CORE)), np.isin(tissues, CORE), tissues == Tissue.ENHANCING)
    mask, shown = np.stack(regions).astype(np.uint8), np.stack([brain] * len(MODALITIES))
    if variety.defects:
        image, shown, mask = add_defects(rng, box, image, brain, head.depth_mm, mask)
    return np.stack([_z_score(volume, where) for volume, where in zip(image, shown, strict=True)]), mask


def _draw_tumour(
    rng: np.random.Generator, box: PhantomBox, head: Head, kind: str, foci: int, variety: Variety
) -> Growth:
    for shrink in _SHRINKING:
        grown = Growth(head.tissues, np.zeros(box.shape, np.float32))
        for number in range(foci):
            scale = shrink if number == 0 else shrink * rng.uniform(0.3, 0.8)
            grown = grow(rng, box, grown, head.depth_mm, kind, scale, push=variety.mass_effect)
        if (grown.tissues >= Tissue.OEDEMA).sum() * box.spacing_mm**3 < _LARGEST_TUMOUR_MM3:
            break
    return soften(rng, box, grown)


def _z_score(volume: NDArray[np.float32], shown: NDArray[np.bool_]) -> NDArray[np.float32]:
    values = volume[shown]
    if not values.size:
        return np.zeros_like(volume)
    return np.where(shown, (volume - values.mean()) / max(float(values.std()), 1e-6), 0).astype(np.float32)
