"""A small residual network: one level down, one up."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn


class MyNetwork(nn.Module):
    """From images (B, 4, x, y, z) to logits (B, 3, x, y, z) of whole tumour, tumour core and enhancing tumour.

    fedbrats pads images so that every side is a multiple of `divisor`, and sets the seed before it builds the network.

    Args:
        width: Channels of the first level.
    """

    divisor = 2
    head_names = r"head\."  # the parameters that `personal=head` keeps at the sites

    def __init__(self, width: Annotated[int, Field(ge=4, le=128)] = 8) -> None:
        super().__init__()
        self.down = nn.Conv3d(4, width, kernel_size=2, stride=2)
        self.body = nn.Sequential(_block(width), _block(width))
        self.up = nn.ConvTranspose3d(width, width, kernel_size=2, stride=2)
        self.head = nn.Conv3d(width + 4, 3, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """The logits."""
        coarse = self.down(images)
        return self.head(torch.cat([self.up(coarse + self.body(coarse)), images], dim=1))


def _block(width: int) -> nn.Module:
    """A convolution with GroupNorm: BatchNorm would mix hospitals, and fedbrats refuses it."""
    return nn.Sequential(nn.Conv3d(width, width, 3, padding=1), nn.GroupNorm(1, width), nn.LeakyReLU())
