"""Settings that fit data and machines, as a pure function of fingerprints; and where given settings do not fit.

Without a GPU, voxels of 2 mm and the network `fast`: what the defaults were measured with (docs/results/tuning.md).
Where every site has a large GPU, the scans' own voxels down to 1 mm and the network `large`, as is usual for BraTS. A
patch covers the same part of a head whatever the voxel size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedbrats.data.fingerprint import Fingerprint
from fedbrats.data.prepare.settings import USUAL_MM, CacheSettings
from fedbrats.errors import ConfigurationError
from fedbrats.model.settings import TrainingSettings
from fedbrats.settings import SMALLEST_SIDE, plain

FINEST_MM = 1.0
LARGE_GPU_GB = 12.0  # an estimate: SegResNet of 32 filters on 128^3 voxels in bfloat16
LARGE_MM = (128.0, 128.0, 128.0)
_STEP = 16  # voxels: networks halve a patch four times
LEAST_PATCH_MM = 64.0  # two thirds of the default patch's shortest side
_FINER = 0.75  # of the scans' own voxels; what is resampled to finer ones costs more and shows nothing more


@dataclass(frozen=True)
class Choice:
    """The value of a variable, and why."""

    name: str
    value: Any
    why: str


def propose(sites: Sequence[Fingerprint], given: Mapping[str, Any]) -> list[Choice]:
    """One choice of voxel size, network, patch, window and batch for all sites.

    Args:
        sites: of every site of the federation.
        given: variables that a person has set; the others are chosen to go with them.

    Raises: ConfigurationError where there is no site, or a fixed shape is given.
    """
    if not sites:
        raise ConfigurationError("a plan needs the data or the fingerprint of one site at least")
    if given.get("volume_shape") is not None:
        raise ConfigurationError("volume_shape is given, which sets the size of every scan; there is nothing to plan")
    large = all(site.gpu_gb is not None and site.gpu_gb >= LARGE_GPU_GB for site in sites)
    found = [_voxel(sites, large)]
    voxel = float(given.get("spacing_mm") or found[0].value)
    large = given.get("network", "large" if large and voxel < USUAL_MM else "fast") == "large"
    found += _network(sites, large, voxel)
    found.append(Choice("batch_size", 1, "the defaults were measured with one patch a batch"))
    return [choice for choice in found if choice.name not in given]


def _voxel(sites: Sequence[Fingerprint], large: bool) -> Choice:
    own = _middle([(float(min(site.spacing_mm)), site.cases) for site in sites])
    sizes = sorted({round(min(site.spacing_mm), 1) for site in sites})
    scans = f"the scans have {plain(sizes[0])}{f' to {plain(sizes[-1])}' if len(sizes) > 1 else ''} mm"
    finest = FINEST_MM if large else USUAL_MM
    if own > finest:
        return Choice("spacing_mm", round(own, 1), f"{scans}; finer voxels would cost more and show nothing more")
    if large:
        return Choice("spacing_mm", finest, f"{scans}, and every site has a GPU with {plain(LARGE_GPU_GB)} GB or more")
    return Choice("spacing_mm", finest, f"{scans}; 1 mm takes about eight times as long, and a GPU at every site")


def _network(sites: Sequence[Fingerprint], large: bool, voxel: float) -> Iterator[Choice]:
    usual = TrainingSettings().patch_size
    assert usual is not None
    sides_mm = LARGE_MM if large else [side * USUAL_MM for side in usual]
    brain_mm = [max(site.brain_mm[axis] for site in sites) for axis in range(3)]
    patch = [_side(min(side, brain), voxel) for side, brain in zip(sides_mm, brain_mm, strict=True)]
    sees = " x ".join(plain(round(side * voxel)) for side in patch)
    of_head = f"{sees} mm of a brain of {' x '.join(plain(round(side)) for side in brain_mm)} mm"
    if large:
        yield Choice("network", "large", "for voxels below 2 mm on a GPU")
        yield Choice("patch_size", patch, of_head)
        yield Choice("inference_window", patch, "a whole brain would need much memory")
        yield Choice("deep_supervision", True, "the network large has coarser outputs too")
    else:
        yield Choice("network", "fast", "for CPUs, and for voxels of 2 mm")
        yield Choice("patch_size", patch, of_head)
        yield Choice("inference_window", None, "the whole brain at once")
        yield Choice("deep_supervision", False, "the network fast has one output")


def _side(length_mm: float, voxel: float) -> int:
    """Voxels of a patch's side, such that the network can halve it."""
    return max(SMALLEST_SIDE, math.ceil(round(length_mm / voxel / _STEP, 2)) * _STEP)


def _middle(weighted: Iterable[tuple[float, int]]) -> float:
    """The weighted median; of two in the middle the larger."""
    ordered = sorted(weighted)
    half, below = sum(weight for _, weight in ordered) / 2, 0
    for value, weight in ordered:
        below += weight
        if below > half:
            return value
    return ordered[-1][0]


def misfits(values: Mapping[str, Any], spacings_mm: Sequence[Sequence[float]] = ()) -> list[str]:
    """Where the voxel size and the patch of a job do not fit each other or the data, a sentence each.

    Args:
        values: the job's variables.
        spacings_mm: the edges of a voxel of each site's scans, where they are known.
    """
    if values.get("volume_shape") is not None:
        return []
    settings = CacheSettings(spacing_mm=values.get("spacing_mm"))
    found = []
    voxels = [settings.voxel_mm(own) or min(own) for own in spacings_mm]
    voxels = voxels or [settings.spacing_mm or USUAL_MM]
    patch = values.get("patch_size")
    if patch and max(patch) * min(voxels) < LEAST_PATCH_MM:
        voxel, sides = plain(min(voxels)), " x ".join(map(str, patch))
        sees = " x ".join(plain(round(side * min(voxels))) for side in patch)
        found.append(
            f"a patch of {sides} voxels of {voxel} mm sees {sees} mm of a head, and the default sees 96 x 128 x 96 mm; "
            f"set spacing_mm={plain(USUAL_MM)}, or take the patch of `fedbrats plan`"
        )
    coarse = [own for own in spacings_mm if settings.spacing_mm and settings.spacing_mm < _FINER * min(own)]
    if coarse:
        found.append(
            f"spacing_mm is {plain(settings.spacing_mm or 0)}, and scans here have voxels of "
            f"{plain(round(max(map(min, coarse)), 2))} mm: finer voxels cost more and show nothing more"
        )
    if len({round(voxel, 1) for voxel in voxels}) > 1:
        sizes = " and ".join(plain(round(size, 1)) for size in sorted({round(voxel, 1) for voxel in voxels}))
        found.append(f"sites would train at different voxel sizes, {sizes} mm; set spacing_mm, or take a plan for all")
    return found
