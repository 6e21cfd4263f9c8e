"""One step of a network and a loss on numbers of chance, before hours of training: shapes, and finite gradients."""

from __future__ import annotations

import torch
from torch import nn

from fedbrats.data.cases.case import MODALITIES
from fedbrats.data.regions import REGIONS
from fedbrats.errors import ConfigurationError, UpdateError
from fedbrats.model.network import SegmentationNetwork
from fedbrats.model.training.loss import SegmentationLoss

SIDE = 24  # voxels of the input's sides


def try_step(network: SegmentationNetwork, loss: nn.Module) -> None:
    """Compute logits, loss and gradients once; the network keeps its weights, and has no gradients afterwards.

    Raises: ConfigurationError that says what of them cannot be.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        images = torch.randn(1, len(MODALITIES), SIDE, SIDE, SIDE)
        masks = (torch.rand(1, len(REGIONS), SIDE, SIDE, SIDE) > 0.5).float()
        try:
            outputs = network.forward_deep(images)
            if outputs[0].shape != masks.shape:
                raise ConfigurationError(
                    f"network: images of shape {tuple(images.shape)} give logits of shape {tuple(outputs[0].shape)}, "
                    f"expected {tuple(masks.shape)}"
                )
            value = SegmentationLoss(loss, deep_supervision=False)(outputs, masks)
            if value.shape != () or not torch.isfinite(value):
                raise ConfigurationError(f"loss: it is {value.detach()!s:.80}, expected one finite number")
            value.backward()
        except (ConfigurationError, UpdateError):
            raise
        except Exception as error:  # somebody's own code
            raise ConfigurationError(f"network or loss: one step fails: {error!r:.300}") from error
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    if not gradients or not all(torch.isfinite(each).all() for each in gradients):
        raise ConfigurationError("loss: it has no finite gradient in the network's parameters")
    network.zero_grad(set_to_none=True)
