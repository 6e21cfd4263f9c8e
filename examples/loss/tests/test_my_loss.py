"""The loss can be trained with, and does what its paper says."""

import torch
from my_loss import MyLoss

from fedbrats.extensions.trial import try_loss


def test_one_step_of_training():
    try_loss(MyLoss())


def test_a_missed_voxel_costs_more_than_one_too_much():
    masks = torch.zeros(1, 3, 4, 4, 4)
    masks[..., :2] = 1
    sure = 20.0 * (2 * masks - 1)
    missed, too_much = sure.clone(), sure.clone()
    missed[..., 0] = -20.0
    too_much[..., 2] = 20.0
    loss = MyLoss(missed=0.7)
    assert loss(sure, masks) < loss(too_much, masks) < loss(missed, masks)
