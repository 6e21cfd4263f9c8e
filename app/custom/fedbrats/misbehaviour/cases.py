"""Corruptions of prepared cases, of training and of validation alike, as in a hospital that has the fault."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.cases.case import MODALITIES

if TYPE_CHECKING:
    from fedbrats.data.prepare.cache import CachedCase

SHUFFLED_LABELS = "shuffled-labels"


def exchange_modalities(case: CachedCase) -> CachedCase:
    """T1ce and FLAIR change places."""
    order = list(range(len(MODALITIES)))
    first, second = MODALITIES.index("t1ce"), MODALITIES.index("flair")
    order[first], order[second] = second, first
    return replace(case, image=case.image[order])


def drop_modality(case: CachedCase) -> CachedCase:
    """FLAIR is empty."""
    image = np.array(case.image)
    image[MODALITIES.index("flair")] = 0
    return replace(case, image=image)


def flip_anatomy(case: CachedCase) -> CachedCase:
    """The scan lies on its head while its segmentation does not, as after a lost header."""
    return replace(case, image=case.image[..., ::-1])


def swap_labels(case: CachedCase) -> CachedCase:
    """Necrotic core and enhancing tumour change places: a label convention mistaken."""
    if case.mask is None:
        return case
    whole, core, enhancing = case.mask
    return replace(case, mask=np.stack([whole, core, core & (1 - enhancing)]))


def shuffle_labels(cases: Sequence[CachedCase]) -> list[CachedCase]:
    """Every case gets the segmentation of the next one, shifted by a quarter where there is no other."""
    masks = [case.mask for case in cases]
    shifted = masks[1:] + masks[:1] if len(masks) > 1 else [_roll(mask) for mask in masks]
    return [
        case if mask is None else replace(case, mask=_fit(mask, case.image.shape[1:]))
        for case, mask in zip(cases, shifted, strict=True)
    ]


CASE_CORRUPTIONS: dict[str, Callable[[CachedCase], CachedCase]] = {
    "exchanged-modalities": exchange_modalities,
    "missing-modality": drop_modality,
    "flipped-anatomy": flip_anatomy,
    "swapped-labels": swap_labels,
}


def corrupt_cases(cases: Sequence[CachedCase], kind: str) -> list[CachedCase]:
    """The site's prepared cases, corrupted where `kind` is a corruption of data."""
    if kind == SHUFFLED_LABELS:
        return shuffle_labels(cases)
    corrupt = CASE_CORRUPTIONS.get(kind)
    return [corrupt(case) for case in cases] if corrupt else list(cases)


def _roll(mask: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
    return None if mask is None else np.roll(mask, [size // 4 for size in mask.shape[1:]], axis=(1, 2, 3))


def _fit(mask: NDArray[np.uint8], shape: Sequence[int]) -> NDArray[np.uint8]:
    """(3, ...) -> (3, *shape): cut or padded at the far ends."""
    fitted = np.zeros((len(mask), *shape), dtype=mask.dtype)
    common = tuple(slice(0, min(a, b)) for a, b in zip(mask.shape[1:], shape, strict=True))
    fitted[(slice(None), *common)] = mask[(slice(None), *common)]
    return fitted
