"""The network can be trained by fedbrats."""

import torch
from my_network import MyNetwork

from fedbrats.extensions.trial import try_network


def test_one_step_of_training():
    try_network(MyNetwork)


def test_logits_lie_on_the_grid_of_the_images():
    assert MyNetwork(width=4)(torch.zeros(1, 4, 8, 10, 12)).shape == (1, 3, 8, 10, 12)
