"""A network's weights as arrays by name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fedbrats.errors import ConfigurationError, UpdateError
from fedbrats.model.network import SegmentationNetwork


def copy_weights(network: nn.Module) -> dict[str, NDArray[np.float32]]:
    """A copy of every weight, float32, by name."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}


def take_over(network: nn.Module, weights: Mapping[str, NDArray[np.floating]], *, strict: bool = True) -> None:
    """Write weights into a network by name, or none of them; with strict=False some may be absent.

    Raises: UpdateError naming the first weight that is missing, not the network's, or of another shape.
    """
    own = network.state_dict()
    if unknown := sorted(set(weights) - set(own)):
        raise UpdateError(f"weight {unknown[0]} is not of this network (and {len(unknown) - 1} more)")
    if strict and (missing := sorted(set(own) - set(weights))):
        raise UpdateError(f"weight {missing[0]} is missing (and {len(missing) - 1} more)")
    for name, value in weights.items():
        if tuple(value.shape) != tuple(own[name].shape):
            raise UpdateError(f"weight {name} has shape {tuple(value.shape)}, expected {tuple(own[name].shape)}")
    for name, value in weights.items():
        own[name].copy_(torch.from_numpy(np.array(value, dtype=np.float32)))  # a state_dict shares its storage


def freeze_others(network: SegmentationNetwork, trainable: str) -> None:
    """Have the steps change these weights only; `trainable` as `SegmentationNetwork.personal_names` reads it.

    Raises: ConfigurationError where it names nothing.
    """
    names = set(network.personal_names(trainable))
    if not names:
        raise ConfigurationError(
            f"trainable is {trainable!r}, so that nothing would be trained; name some weights, or all"
        )
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in names)
