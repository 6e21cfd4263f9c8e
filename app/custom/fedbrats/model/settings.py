"""The settings of training, of inference and of what is shared: every number of them that people tune."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from fedbrats.data.batches.settings import Augmentation
from fedbrats.extensions.choice import NamedClass
from fedbrats.settings import Settings, Sides

BRAIN = (80, 96, 80)  # voxels of a brain at 2 mm: the patch that is counted with where patch_size is null


class Sharing(Settings):
    """What of the network the sites of a job share."""

    personal: str = "none"
    """Which weights stay at a site: none, all, or a list with commas of head, decoder, norm and prefixes of names that
    end at a dot."""
    personal_rounds: int = Field(0, ge=0, le=10**6)
    """In so many last rounds all weights stay at the sites, and each site fits the model to its own cases."""
    best_of: bool = False
    """Whether a site keeps, of the common model, of the one that it has fitted in its personal_rounds, and of their
    mean, the one that serves its training patients best, scored by fits that have not seen them. A site of fewer than
    six patients keeps the fitted one."""


class InferenceSettings(Settings):
    """How a mask is predicted; a model keeps these with its weights."""

    inference_window: Sides | None = None
    """Sides of the sliding window of inference in voxels; null takes the whole volume at once."""
    component_share: float = Field(0.3, ge=0, le=1)
    """Parts of a predicted tumour that hold less than this share of the main part's core are left out of the mask; 1
    keeps the main part alone, 0 keeps all. The part that the network is surest of stays in any case."""
    final_flips: bool = True
    """Whether the last evaluation takes the mean over the eight mirror images of a case."""


class TrainingSettings(InferenceSettings, Augmentation):
    """The settings of a local round; the defaults were measured on real cases at 2 mm (docs/results/tuning.md).

    Patches of the default size are for 2 mm: they cost a quarter of whole volumes, and keep a network from learning how
    large a tumour of this site's usually is. A round is a number of steps, the same at every site, so that weights by
    cases mean what they say: with whole epochs a small site would both step less and count less (Wang 2020,
    arXiv:2007.07481). With fewer steps 25 rounds are too few; with more, and without patches, sites of few cases learn
    those by heart.
    """

    patch_size: Sides | None = (48, 64, 48)
    """Sides of a training patch in voxels, at most those of the largest case; null takes whole volumes."""
    batch_size: int = Field(1, ge=1, le=1024)
    """Patches in a batch."""
    local_steps: int = Field(80, ge=1, le=10**9)
    """Steps of a local round, the same at every site."""
    local_epochs: int | None = Field(None, ge=1, le=10**6)
    """Passes over a site's cases in a local round, instead of local_steps."""
    optimiser: Literal["adamw", "adam"] = "adamw"
    """The optimiser of a site."""
    learning_rate: float = Field(2e-3, ge=1e-9, le=10)
    """The largest learning rate: it rises to this, then falls along the schedule."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """How the learning rate falls over the whole job: to zero along a cosine, or not at all."""
    warmup_share: float = Field(0.02, ge=0, le=1)
    """The share of the whole job in which the learning rate rises."""
    weight_decay: float = Field(1e-2, ge=0, le=10)
    """Weight decay of the optimiser."""
    gradient_clip: float = Field(1.0, ge=0, le=1e6)
    """The largest norm of a gradient; 0 leaves gradients as they are."""
    trainable: str = "all"
    """Which weights a local round changes: all, or as for personal; the others stay what the start has."""
    keep_optimiser: bool = True
    """Whether the optimiser's moments are kept from round to round instead of starting at zero."""
    loss: NamedClass = "region"
    """The loss of training: region (Dice and binary cross-entropy), or a class of your own."""
    bce_weight: float = Field(1.0, ge=0, le=1e3)
    """Weight of binary cross-entropy beside the Dice loss, which alone is slow to find enhancing tumour."""
    deep_supervision: bool = False
    """Whether the network's coarser outputs are in the loss too, each with half of the weight of the one above it."""
    foreground_share: float = Field(0.5, ge=0, le=1)
    """How often a patch is drawn around a voxel of some region; without effect on whole volumes."""
    phantom_share: float = Field(0.0, ge=0, le=0.9)
    """The share of a site's training patches that comes from phantoms, which it draws in memory. They do not count as
    cases."""
    proximal_mu: float = Field(0.0, ge=0, le=1e6)
    """FedProx (Li et al. 2020, arXiv:1812.06127): mu / 2 times the squared distance to the received weights is added to
    the loss."""
    mixed_precision: bool = True
    """Whether a CUDA GPU computes in bfloat16, or in float16 where it has no units for bfloat16; a CPU always computes
    in float32."""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TrainingSettings:
        """Settings from a job's JSON. Raises: ConfigurationError for a name or value that cannot be."""
        return cls.read(document, "training")

    def steps_per_round(self, cases: int) -> int:
        """The steps of a local round of a site with so many training cases."""
        return self.local_epochs * math.ceil(cases / self.batch_size) if self.local_epochs else self.local_steps
