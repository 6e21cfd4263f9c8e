"""Trouble-makers: sites that misbehave on purpose, for experiments and tests of what a federation survives.

A site is told to in its own `local/fedbrats.json` (`"misbehaviour": {"site-3": "noise"}`); production provisioning
refuses the entry. Corruptions of data happen after preparation, to training and validation cases alike, as they would
in a hospital that has the fault; corruptions of updates happen just before the site's filters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.cases.case import MODALITIES
from fedbrats.errors import ConfigurationError

if TYPE_CHECKING:
    from fedbrats.data.prepare.cache import CachedCase

Arrays = dict[str, np.ndarray]
ABSURD_CASES = 10**9
COPY = "copy:"  # followed by the site whose data and seed are used


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


def _noise(update: Arrays, rng: np.random.Generator) -> Arrays:
    """Noise of the update's own length, tensor by tensor."""
    return {
        name: rng.normal(0.0, float(np.sqrt(np.mean(np.square(value, dtype=np.float64)))), value.shape).astype(
            value.dtype
        )
        for name, value in update.items()
    }


def _poison(update: Arrays) -> Arrays:
    """One value of one tensor is NaN."""
    name = min(update)
    value = np.array(update[name])
    value.flat[0] = np.nan
    return {**update, name: value}


UPDATE_CORRUPTIONS: dict[str, Callable[[Arrays, np.random.Generator], Arrays]] = {
    "noise": _noise,
    "zero": lambda update, _rng: {name: np.zeros_like(value) for name, value in update.items()},
    "sign-flip": lambda update, _rng: {name: -value for name, value in update.items()},
    "scaled": lambda update, _rng: {name: value * value.dtype.type(100) for name, value in update.items()},
    "nan": lambda update, _rng: _poison(update),
}
KINDS = (*CASE_CORRUPTIONS, "shuffled-labels", *UPDATE_CORRUPTIONS, "absurd-cases")


def check_misbehaviour(kind: str, site: str) -> None:
    """Raise ConfigurationError for a misbehaviour that does not exist."""
    if kind not in KINDS and not kind.startswith(COPY):
        raise ConfigurationError(f"site {site}: misbehaviour {kind!r} is not one of {', '.join(KINDS)}, {COPY}SITE")


def corrupt_cases(cases: Sequence[CachedCase], kind: str | None) -> list[CachedCase]:
    """The site's prepared cases, corrupted where `kind` is a corruption of data."""
    if kind == "shuffled-labels":
        return shuffle_labels(cases)
    corrupt = CASE_CORRUPTIONS.get(kind or "")
    return [corrupt(case) for case in cases] if corrupt else list(cases)


def corrupt_update(update: Arrays, kind: str | None, seed: int) -> Arrays:
    """The site's update, corrupted where `kind` is a corruption of updates."""
    corrupt = UPDATE_CORRUPTIONS.get(kind or "")
    return corrupt(update, np.random.default_rng(seed)) if corrupt else update


def corrupt_case_count(cases: int, kind: str | None) -> int:
    """The number of cases the site declares."""
    return ABSURD_CASES if kind == "absurd-cases" else cases


def _roll(mask: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
    return None if mask is None else np.roll(mask, [size // 4 for size in mask.shape[1:]], axis=(1, 2, 3))


def _fit(mask: NDArray[np.uint8], shape: Sequence[int]) -> NDArray[np.uint8]:
    """(3, ...) -> (3, *shape): cut or padded at the far ends."""
    fitted = np.zeros((len(mask), *shape), dtype=mask.dtype)
    common = tuple(slice(0, min(a, b)) for a, b in zip(mask.shape[1:], shape, strict=True))
    fitted[(slice(None), *common)] = mask[(slice(None), *common)]
    return fitted
