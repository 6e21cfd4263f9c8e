"""The numbers of the training that people tune, as dataclass and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedbrats.data.batches.augmentation import Augmentation
from fedbrats.errors import ConfigurationError
from fedbrats.settings import read_settings

SCHEDULES = ("cosine", "constant")
OPTIMISERS = ("adamw", "adam")
SMALLEST_PATCH = 8
LIMITS = {
    "batch_size": (1, 1024),
    "local_epochs": (1, 1e6),
    "local_steps": (1, 1e9),
    "learning_rate": (1e-9, 10),
    "warmup_share": (0, 1),
    "weight_decay": (0, 10),
    "gradient_clip": (0, 1e6),
    "bce_weight": (0, 1e3),
    "foreground_share": (0, 1),
    "intensity": (0, 1),
    "noise": (0, 10),
    "rotation_degrees": (0, 180),
    "scaling": (0, 0.9),
    "spatial_share": (0, 1),
    "modality_dropout": (0, 1),
    "proximal_mu": (0, 1e6),
    "component_share": (0, 1),
}


@dataclass(frozen=True)
class TrainingSettings:
    """Every number of the training that people tune, defaults measured on real cases at 2 mm (docs/results/tuning.md).

    patch_size: sides of a training patch in voxels; null takes whole volumes. The default is for 2 mm: patches cost a
        quarter of whole volumes, and keep a network from learning how large a tumour of this site's usually is. A patch
        is never larger than the largest case.
    local_steps: how long a round is, the same at every site, so that weights by cases mean what they say: with whole
        epochs a small site would both step less and count less (Wang 2020, arXiv:2007.07481). Fewer leave 25 rounds
        unfinished; with more, and without patches, sites of few cases learn them by heart.
    local_epochs: rounds of whole passes over a site's cases instead; null for local_steps.
    learning_rate, schedule, warmup_share: the rate rises over `warmup_share` of the whole job, then falls to zero along
        a cosine, whichever round or site that is in.
    gradient_clip: the largest norm of a gradient; 0 leaves it as it is.
    keep_optimiser: keep Adam's moments from round to round rather than begin each with none.
    bce_weight: binary cross-entropy beside the Dice loss, which alone is slow to find enhancing tumour.
    foreground_share: how often a patch is drawn around a voxel of some region; of no effect on whole volumes.
    flips to modality_dropout: see `fedbrats.data.batches.augmentation.Augmentation`.
    proximal_mu: FedProx (Li et al. 2020, arXiv:1812.06127): mu / 2 times the squared distance to the received weights.
    mixed_precision: bfloat16 on CUDA; a CPU always computes in float32.
    inference_window: sides of the sliding window of inference; null takes the whole volume at once.
    component_share: parts of a predicted tumour that hold less than this share of the main part's core are left out of
        the mask; 1 keeps the main part alone, 0 keeps all (`fedbrats.model.inference.keep_main_tumour`).
    final_flips: whether the last evaluation takes the mean over the eight mirror images of a case.
    """

    patch_size: tuple[int, int, int] | None = (48, 64, 48)
    batch_size: int = 1
    local_steps: int = 80
    local_epochs: int | None = None
    optimiser: str = "adamw"
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    warmup_share: float = 0.02
    weight_decay: float = 1e-2
    gradient_clip: float = 1.0
    keep_optimiser: bool = True
    bce_weight: float = 1.0
    deep_supervision: bool = False
    foreground_share: float = 0.5
    flips: bool = True
    intensity: float = 0.3
    noise: float = 0.1
    rotation_degrees: float = 30.0
    scaling: float = 0.3
    spatial_share: float = 0.5
    modality_dropout: float = 0.1
    proximal_mu: float = 0.0
    mixed_precision: bool = True
    inference_window: tuple[int, int, int] | None = None
    component_share: float = 0.3
    final_flips: bool = True

    def __post_init__(self) -> None:
        for name, choices in (("schedule", SCHEDULES), ("optimiser", OPTIMISERS)):
            if getattr(self, name) not in choices:
                raise ConfigurationError(f"{name} {getattr(self, name)!r} is not one of {', '.join(choices)}")
        for name, (least, most) in LIMITS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ConfigurationError(f"{name} is {value}, expected {least:g} to {most:g}")
        for name in ("patch_size", "inference_window"):
            if min(getattr(self, name) or (SMALLEST_PATCH,)) < SMALLEST_PATCH:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)}, expected sides of at least {SMALLEST_PATCH}"
                )

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TrainingSettings:
        """Settings from a job's JSON. Raises: ConfigurationError for a name or value that cannot be."""
        return read_settings(cls, document, "training")

    def steps_per_round(self, cases: int) -> int:
        """The steps of a local round of a site with so many training cases."""
        return self.local_epochs * math.ceil(cases / self.batch_size) if self.local_epochs else self.local_steps

    @property
    def augmentation(self) -> Augmentation:
        """What is changed at random in a patch."""
        return Augmentation(
            self.flips,
            self.intensity,
            self.noise,
            self.rotation_degrees,
            self.scaling,
            self.spatial_share,
            self.modality_dropout,
        )

    def learning_rate_at(self, progress: float) -> float:
        """The learning rate when `progress` (0 to 1) of the whole job is done, whichever site or round that is in."""
        warmth = min(1.0, (progress + 1e-3) / self.warmup_share) if self.warmup_share else 1.0
        fall = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))) if self.schedule == "cosine" else 1.0
        return self.learning_rate * warmth * fall
