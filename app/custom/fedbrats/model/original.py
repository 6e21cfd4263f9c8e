"""The U-Net of the study that this project grew out of, from MONAI's blocks, so that it can be run and compared."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from fedbrats.model.monai_parts import Down, TwoConv, UpCat

ACTIVATION = ("relu", {"inplace": True})


class OriginalUNet(nn.Module):
    """Four poolings, trilinear upsampling, GroupNorm; 2.51 million parameters with 16 base channels.

    Every stage works at full width, the first two convolutions at full resolution: that is what makes it slow.
    """

    def __init__(self, in_channels: int, out_channels: int, base: int = 16, groups: int = 8) -> None:
        super().__init__()
        norm = ("group", {"num_groups": groups})
        down = (base, 2 * base, 4 * base, 8 * base, 8 * base)
        up = (4 * base, 2 * base, base, base)
        self.first = TwoConv(3, in_channels, down[0], ACTIVATION, norm, bias=True)
        self.down = nn.ModuleList(Down(3, wide, wider, ACTIVATION, norm, bias=True) for wide, wider in pairwise(down))
        self.up = nn.ModuleList(
            UpCat(3, below, beside, wide, ACTIVATION, norm, bias=True, upsample="nontrainable", pre_conv=None)
            for below, beside, wide in zip((down[-1], *up), reversed(down[:-1]), up, strict=False)
        )
        self.head = nn.Conv3d(up[-1], out_channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, out, x, y, z) of images (B, in, x, y, z) whose sides are multiples of 16."""
        features = [self.first(images)]
        for down in self.down:
            features.append(down(features[-1]))
        answer = features.pop()
        for up in self.up:
            answer = up(answer, features.pop())
        return self.head(answer)
