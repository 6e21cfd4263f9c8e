"""The loss by MONAI's parts is what its definition says, computed here once more by hand."""

import pytest
import torch

from fedbrats.model.training.loss import RegionLoss, SegmentationLoss

SHAPE = (2, 3, 6, 5, 4)


def by_hand(logits, masks, bce_weight):
    """1 - (2 |A B| + 1) / (|A| + |B| + 1) per image and region, plus the cross-entropy of every voxel; means."""
    p = torch.sigmoid(logits.double())
    y = masks.double()
    sums = [term.sum(dim=(2, 3, 4)) for term in (p * y, p, y)]
    dice = 1 - (2 * sums[0] + 1) / (sums[1] + sums[2] + 1)
    entropy = -(y * torch.log(p) + (1 - y) * torch.log(1 - p))
    return dice.mean() + bce_weight * entropy.mean()


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    outputs = [torch.randn(SHAPE, generator=generator) for _ in range(3)]
    return outputs, (torch.rand(SHAPE, generator=generator) > 0.7).float()


@pytest.mark.parametrize("bce_weight", [0.0, 1.0, 0.3])
def test_one_scale(batch, bce_weight):
    outputs, masks = batch
    loss = SegmentationLoss(RegionLoss(bce_weight), deep_supervision=False)(outputs, masks)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(by_hand(outputs[0], masks, bce_weight)), rel=1e-6)


def test_deeper_scales_weigh_half_of_the_one_above(batch):
    outputs, masks = batch
    one, two, three = (float(by_hand(output, masks, 1.0)) for output in outputs)
    loss = SegmentationLoss(RegionLoss(1.0), deep_supervision=True)(outputs, masks)
    assert float(loss) == pytest.approx((one + two / 2 + three / 4) / 1.75, rel=1e-6)


def test_logits_of_less_precision_are_taken_in_float32(batch):
    outputs, masks = batch
    half = [output.bfloat16() for output in outputs]
    loss = SegmentationLoss(RegionLoss(1.0), deep_supervision=True)(half, masks)
    assert loss.dtype == torch.float32
    assert loss == SegmentationLoss(RegionLoss(1.0), deep_supervision=True)([output.float() for output in half], masks)
