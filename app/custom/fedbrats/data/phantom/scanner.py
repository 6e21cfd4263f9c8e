"""Synthetic multi-modal brains with tumours: one site's scanner renders one drawn anatomy.

Good to look at and hard enough that methods differ, no more: no claim about any patient can be made from a phantom.
Sites differ in their tumours (size, place, enhancement, oedema) and in their scanners (gain, contrast, noise, bias
field, resolution), as hospitals do. `cohort.py` draws the sites and writes their cases.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.cases.case import MODALITIES
from fedbrats.data.phantom.anatomy import (
    Anatomy,
    Field,
    PhantomBox,
    Tissue,
    TumourStatistics,
    draw_anatomy,
)
from fedbrats.errors import DataError

# Signal of each tissue, white matter about 100 on T1, in the order of MODALITIES: fluid is dark on T1 and FLAIR and
# bright on T2, contrast agent shows on T1ce only, oedema is bright on T2 and FLAIR.
SIGNALS = {
    Tissue.AIR: (0, 0, 0, 0),
    Tissue.CSF: (32, 33, 215, 30),
    Tissue.GREY: (74, 76, 118, 102),
    Tissue.WHITE: (100, 101, 84, 84),
    Tissue.LESION: (86, 88, 128, 140),
    Tissue.VESSEL: (76, 165, 75, 75),
    Tissue.OEDEMA: (76, 80, 150, 152),
    Tissue.SOLID: (66, 72, 152, 132),
    Tissue.NECROSIS: (50, 56, 178, 104),
    Tissue.ENHANCING: (68, 158, 132, 136),
}
_TUMOUR = (Tissue.OEDEMA, Tissue.SOLID, Tissue.NECROSIS, Tissue.ENHANCING)
_LARGEST_INT16 = np.iinfo(np.int16).max


@dataclass(frozen=True)
class Scanner:
    """How one site's scanner turns tissue into voxel values; tuples are in the order of MODALITIES."""

    gain: tuple[float, ...] = (4.0, 4.0, 4.0, 4.0)
    gamma: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)  # contrast curve: above 1 stretches the bright end
    noise: float = 4.0  # standard deviation, in the units of SIGNALS
    bias: float = 0.12  # relative strength of the smooth intensity drift
    blur_mm: float = 1.0  # standard deviation in the slice
    slice_blur_mm: float = 1.5  # and across slices


@dataclass(frozen=True)
class SiteProfile:
    """What makes one site's cases differ from another's."""

    scanner: Scanner = field(default_factory=Scanner)
    tumours: TumourStatistics = field(default_factory=TumourStatistics)


def make_case(
    rng: np.random.Generator, profile: SiteProfile, spacing_mm: float = 3.0
) -> tuple[dict[str, NDArray[np.int16]], NDArray[np.uint8], NDArray[np.float64]]:
    """One case of a site: images by modality, int16 (X, Y, Z) with zero background; labels, uint8 (X, Y, Z); affine.

    The same `rng` state gives the same anatomy at any `spacing_mm`. Raises: DataError for a spacing outside 0.5-6 mm.
    """
    if not 0.5 <= spacing_mm <= 6:
        raise DataError(f"phantoms have voxels of 0.5 to 6 mm, not {spacing_mm:g} mm")
    box = PhantomBox(spacing_mm)
    anatomy = draw_anatomy(rng, box, profile.tumours)
    conspicuity = rng.uniform(0.55, 1.05)  # how far this tumour stands out from white matter
    images = {
        modality: _render(rng, box, anatomy, channel, profile.scanner, conspicuity)
        for channel, modality in enumerate(MODALITIES)
    }
    affine = np.diag([-spacing_mm, -spacing_mm, spacing_mm, 1.0])  # first two axes to the left and back, as in BraTS
    affine[:3, 3] = -affine[:3, :3] @ (np.array(box.shape) - 1) / 2
    return images, anatomy.labels, affine


def _render(
    rng: np.random.Generator, box: PhantomBox, anatomy: Anatomy, channel: int, scanner: Scanner, conspicuity: float
) -> NDArray[np.int16]:
    """Voxel values (X, Y, Z) of one modality."""
    from scipy.ndimage import gaussian_filter

    brain = anatomy.tissues != Tissue.AIR
    signal = _tissue_signal(anatomy, channel, conspicuity) * (1 + 0.05 * box.smooth_field(rng, 8.0))
    blur = np.array([scanner.blur_mm, scanner.blur_mm, scanner.slice_blur_mm]) / box.spacing_mm
    # Blurring brain and background alike and dividing keeps the brain's rim from fading into the background.
    signal = gaussian_filter(signal, blur) / np.maximum(gaussian_filter(brain.astype(np.float32), blur), 0.1)
    signal *= np.exp(scanner.bias * box.smooth_field(rng, 70.0))
    signal += rng.normal(0, scanner.noise, box.shape)
    curved = 100 * (np.maximum(signal, 1) / 100) ** scanner.gamma[channel]
    values = np.clip(np.rint(scanner.gain[channel] * curved), 1, _LARGEST_INT16)
    return np.where(brain, values, 0).astype(np.int16)


def _tissue_signal(anatomy: Anatomy, channel: int, conspicuity: float) -> Field:
    """Noiseless signal (X, Y, Z); tumour stands out from white matter by `conspicuity`, oedema fades outwards."""
    table = np.array([SIGNALS[tissue][channel] for tissue in Tissue], dtype=np.float32)
    white = table[Tissue.WHITE]
    for tissue in _TUMOUR:
        table[tissue] = white + conspicuity * (table[tissue] - white)
    signal = table[anatomy.tissues]
    oedema = anatomy.tissues == Tissue.OEDEMA
    signal[oedema] = white + (signal[oedema] - white) * anatomy.oedema_strength[oedema]
    return signal
