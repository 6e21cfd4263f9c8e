"""How a varied phantom looks: the signals of its tissues, and the scanner that renders one modality.

Signals are told in standard deviations of the healthy brain, with its median at 0. Means and spreads are set around
those of the regions of 39 BraTS cases (docs/results/start.md has the table).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.phantom.anatomy import Field, PhantomBox, Tissue
from fedbrats.data.phantom.tumours import Growth

T1, T1CE, T2, FLAIR = range(4)  # in the order of MODALITIES
Signals = NDArray[np.float32]  # (tissue, modality)

# (mean, spread over cases), by modality
_HEALTHY = {
    Tissue.CSF: ((-4.0, 1.2), (-4.1, 1.2), (6.5, 2.0), (-4.8, 1.3)),
    Tissue.GREY: ((-0.75, 0.3), (-0.7, 0.35), (0.65, 0.35), (0.45, 0.4)),
    Tissue.WHITE: ((0.6, 0.2), (0.6, 0.25), (-0.6, 0.2), (-0.45, 0.35)),
    Tissue.LESION: ((-0.6, 0.7), (-0.5, 0.7), (1.8, 0.8), (2.4, 1.2)),
    Tissue.VESSEL: ((-0.5, 1.5), (4.5, 2.5), (-1.5, 1.5), (-0.5, 1.2)),
}
_TUMOUR = {
    Tissue.OEDEMA: ((-0.5, 0.3), (-0.75, 0.4), (3.7, 1.0), (7.1, 1.3)),
    Tissue.SOLID: ((-1.2, 0.5), (-1.25, 0.7), (3.9, 1.7), (4.6, 1.9)),
    Tissue.NECROSIS: ((-0.9, 0.5), (-0.7, 0.8), (4.3, 1.6), (6.5, 2.0)),
    Tissue.ENHANCING: ((-0.2, 0.4), (5.6, 1.8), (3.0, 1.0), (6.5, 2.0)),
}
# standard deviation inside a tissue, by modality
_UNEVEN = {
    Tissue.OEDEMA: (0.55, 0.7, 1.2, 1.8),
    Tissue.SOLID: (0.55, 1.1, 1.9, 2.1),
    Tissue.NECROSIS: (0.55, 1.6, 2.2, 2.4),
    Tissue.ENHANCING: (0.55, 2.2, 1.6, 2.5),
}
_TOGETHER = (0.3, 0.3, 0.9, 1.6)  # how far the tissues of one tumour are bright or dark together
_WATER = (-0.3, -0.4, 1.1, 1.2)  # more water in oedema: darker on T1 the brighter it is on T2 and FLAIR
_LEAST = {T1CE: 1.0, T2: 1.2, FLAIR: 2.6}  # by how much enhancement, and oedema, stand out at all
_COARSE = (0.4, 0.5, 0.7, 1.1)  # unevenness of the healthy brain over centimetres
_BELOW_LOW, _BELOW_HIGH = (-0.8, -0.8, -0.6, -0.8), (0.8, 0.8, 1.2, 1.8)  # cerebellum and stem against the cerebrum


@dataclass(frozen=True)
class Style:
    """What a scanner does besides: see `fedbrats.data.phantom.variety.Variety`."""

    texture: bool = True
    resolution: bool = True


def draw_signals(rng: np.random.Generator, kind: str, *, vary: bool = True) -> Signals:
    """The signals of one case, (tissue, modality); without `vary` the means."""
    table = np.zeros((len(Tissue), 4), np.float32)
    contrast = rng.uniform(0.4, 1.5, 4) if vary else np.ones(4)
    for tissue, rows in {**_HEALTHY, **_TUMOUR}.items():
        mean, spread = np.array(rows).T
        table[tissue] = mean + vary * spread * rng.normal(size=4)
    for tissue in (Tissue.GREY, Tissue.WHITE):
        table[tissue] *= contrast
    if vary:
        _vary_tumour(rng, table, kind)
    for modality in (T2, FLAIR):
        table[Tissue.OEDEMA, modality] = max(table[Tissue.OEDEMA, modality], _LEAST[modality])
    for tissue in (Tissue.SOLID, Tissue.NECROSIS):  # mostly darker than oedema on T1 and FLAIR, and brighter on T2
        if rng.random() < (0.85 if kind == "low" else 0.6):
            table[tissue, T1] = min(table[tissue, T1], table[Tissue.OEDEMA, T1] - rng.uniform(0.1, 1.0))
        if rng.random() < 0.55:
            table[tissue, T2] = max(table[tissue, T2], table[Tissue.OEDEMA, T2] + rng.uniform(0.0, 2.2))
        if rng.random() < 0.75:
            table[tissue, FLAIR] = min(table[tissue, FLAIR], table[Tissue.OEDEMA, FLAIR] - rng.uniform(0.2, 3.0))
    others = table[[Tissue.NECROSIS, Tissue.SOLID, Tissue.OEDEMA], T1CE]
    table[Tissue.ENHANCING, T1CE] = max(table[Tissue.ENHANCING, T1CE], others.max() + _LEAST[T1CE])
    return table


def _vary_tumour(rng: np.random.Generator, table: Signals, kind: str) -> None:
    together = rng.normal(size=4) * np.array(_TOGETHER)
    for tissue in _TUMOUR:
        table[tissue] += 0.6 * together
    table[Tissue.OEDEMA] += rng.normal() * np.array(_WATER)
    if kind == "cystic":  # fluid: dark on T1, bright on T2, dark or bright on FLAIR
        table[Tissue.NECROSIS] = (rng.uniform(-4, -1), rng.uniform(-4, -1), rng.uniform(3, 7), rng.uniform(-3, 5))
    if rng.random() < 0.1:  # blood: bright on T1
        table[Tissue.NECROSIS, [T1, T1CE]] += rng.uniform(1, 3)


def render(
    rng: np.random.Generator,
    box: PhantomBox,
    grown: Growth,
    below: NDArray[np.bool_],
    signals: Signals,
    modality: int,
    style: Style,
) -> NDArray[np.float32]:
    """Voxel values (X, Y, Z) of one modality, positive in the brain and 0 outside.

    Args:
        below: cerebellum and brain stem, (X, Y, Z).
    """
    tissues = grown.tissues
    signal = signals[:, modality][tissues]
    if style.texture:
        signal = signal + _draw_texture(rng, box, tissues, modality)
    if below.any():
        healthy = below & np.isin(tissues, (Tissue.GREY, Tissue.WHITE))
        signal = signal + healthy * rng.uniform(_BELOW_LOW[modality], _BELOW_HIGH[modality])
    tumour = tissues >= Tissue.OEDEMA
    if modality in (T2, FLAIR):
        oedema = tissues == Tissue.OEDEMA
        signal[oedema] *= grown.strength[oedema]
    middle, deviation = _spread(signal[(tissues != Tissue.AIR) & ~tumour])
    signal[tumour] = middle + deviation * signal[tumour]
    return _scan(rng, box, signal, tissues != Tissue.AIR, style.resolution)


def _spread(values: NDArray[np.float32]) -> tuple[np.float32, np.float32]:
    """The median and the robust standard deviation of about every tenth value."""
    some = values[::10]
    middle = np.median(some)
    return middle, np.float32(1.4826) * np.median(np.abs(some - middle))


def _draw_texture(rng: np.random.Generator, box: PhantomBox, tissues: NDArray[np.uint8], modality: int) -> Field:
    uneven = 0.7 * box.smooth_field(rng, 5.0) + 0.7 * box.smooth_field(rng, 14.0)
    coarse = rng.uniform(0, _COARSE[modality]) * box.smooth_field(rng, float(rng.uniform(18, 40)))
    amount = np.full(len(Tissue), rng.uniform(0.2, 0.5), np.float32)
    for tissue, values in _UNEVEN.items():
        amount[tissue] = values[modality] * rng.uniform(0.4, 1.3)
    return coarse + amount[tissues] * uneven


def _scan(
    rng: np.random.Generator, box: PhantomBox, signal: Field, brain: NDArray[np.bool_], vary: bool
) -> NDArray[np.float32]:
    """What a scanner makes of a signal: blur, thick slices, drift, a curve of contrast, noise."""
    from scipy.ndimage import gaussian_filter

    base = rng.uniform(5, 12)
    blur_mm, noise, bias, gamma = np.full(3, 0.8), 0.2, 0.05, 1.0
    fade_mm = 0.0
    if vary:
        fade_mm = rng.choice([0.0, rng.uniform(0.3, 1.6)], p=[0.3, 0.7])
        blur_mm = np.full(3, rng.uniform(0.3, 1.2))
        if rng.random() < 0.5:  # thick slices
            blur_mm[rng.integers(3)] = rng.uniform(1, 3.5)
        noise, bias = rng.uniform(0.02, 0.3), rng.uniform(0.02, 0.28)
        gamma = float(np.exp(rng.uniform(-0.3, 0.3)))
    blur = blur_mm / box.spacing_mm
    signal = np.where(brain, np.maximum(signal + np.float32(base), np.float32(0.2)), np.float32(0))
    # Blurring brain and background alike and dividing keeps the brain's rim from fading into the background.
    shown = gaussian_filter(signal, blur) / np.maximum(gaussian_filter(brain.astype(np.float32), blur), 0.1)
    shown = shown * np.exp(bias * box.smooth_field(rng, float(rng.uniform(45, 90)) if vary else 70.0))
    if vary and rng.random() < 0.3:  # the coil is nearer to the rim
        near = 1 - gaussian_filter(brain.astype(np.float32), 8.0 / box.spacing_mm)
        shown = shown * (1 + rng.uniform(-0.4, 0.6) * near)
    curved = base * (np.maximum(shown, 0.05) / base) ** gamma
    noisy = curved + noise * rng.standard_normal(box.shape, dtype=np.float32)
    if fade_mm:  # voxels at the rim hold background too
        noisy *= gaussian_filter(brain.astype(np.float32), fade_mm / box.spacing_mm)
    return np.where(brain, np.maximum(noisy, 0.01), 0).astype(np.float32)
