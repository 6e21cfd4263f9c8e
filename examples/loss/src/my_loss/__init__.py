"""Tversky loss (Salehi et al. 2017, arXiv:1706.05721): what is missed costs more than what is found too much."""

from __future__ import annotations

from typing import Annotated

from monai.losses import TverskyLoss
from pydantic import Field
from torch import Tensor, nn


class MyLoss(nn.Module):
    """The mean Tversky loss of the three regions.

    Args:
        missed: The weight of voxels that are missed; those that are found too much have one minus this.
    """

    def __init__(self, missed: Annotated[float, Field(gt=0, lt=1)] = 0.7) -> None:
        super().__init__()
        self._loss = TverskyLoss(sigmoid=True, alpha=1 - missed, beta=missed)

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """The loss, a scalar, of logits (B, 3, x, y, z) and masks of 0 and 1 (B, 3, x, y, z)."""
        return self._loss(logits, masks)
