"""The loss of training: Dice and binary cross-entropy of the three regions, at every supervised scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fedbrats.errors import ConfigurationError
from fedbrats.extensions.choice import read_choice
from fedbrats.extensions.loading import build
from fedbrats.model.monai_parts import DeepSupervisionLoss, DiceLoss
from fedbrats.model.settings import TrainingSettings

REGION = "region"


class RegionLoss(nn.Module):
    """Dice loss plus `bce_weight` times binary cross-entropy, each the mean over the regions.

    MONAI's DiceCELoss takes several channels for classes that exclude each other; the regions are nested.
    """

    def __init__(self, bce_weight: float) -> None:
        super().__init__()
        self._dice = DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0)
        self._bce_weight = bce_weight

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """The loss, a scalar, of logits (B, 3, x, y, z) and masks of 0 and 1 (B, 3, x, y, z)."""
        loss = self._dice(logits, masks)
        if self._bce_weight:
            loss = loss + self._bce_weight * binary_cross_entropy_with_logits(logits, masks)
        return loss


def build_loss(chosen: Any, bce_weight: float) -> nn.Module:
    """The loss of one scale: `region`, or one of somebody's own, which has the signature of `RegionLoss.forward`.

    Args:
        chosen: the setting `loss`.
        bce_weight: of `region`.

    Raises: ConfigurationError for a loss that there is not, that may not run here, or that cannot be built.
    """
    choice = read_choice(chosen, "loss")
    if not choice.is_path:
        if choice.name != REGION or choice.arguments:
            raise ConfigurationError(f"loss {choice.name!r} is not known; there is {REGION}, or the path of a class")
        return RegionLoss(bce_weight)
    return build("loss", choice)


def choose_loss(settings: TrainingSettings, device: torch.device) -> SegmentationLoss:
    """The loss that the settings ask for. Raises: ConfigurationError as `build_loss`."""
    return SegmentationLoss(build_loss(settings.loss, settings.bce_weight).to(device), settings.deep_supervision)


class SegmentationLoss:
    """A loss as a weighted mean over scales: a scale weighs half of the one above it.

    Args:
        loss: of one scale: logits (B, 3, x, y, z) and masks (B, 3, x, y, z) to a scalar.
        deep_supervision: whether deeper scales count; otherwise the network's answer alone.
    """

    def __init__(self, loss: nn.Module, deep_supervision: bool) -> None:
        self._scales = DeepSupervisionLoss(loss, weight_mode="exp")
        self._deep = deep_supervision

    def __call__(self, outputs: Sequence[Tensor], masks: Tensor) -> Tensor:
        """The loss, a scalar in float32, of logits of every scale, each (B, 3, x, y, z), and masks (B, 3, x, y, z)."""
        used = list(outputs if self._deep else outputs[:1])
        return self._scales(used, masks) / sum(self._scales.get_weights(len(used)))
