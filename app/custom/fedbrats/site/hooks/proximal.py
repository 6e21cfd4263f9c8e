"""FedProx (Li et al. 2020, arXiv:1812.06127): the loss grows with the distance from the received weights."""

from __future__ import annotations

from torch import Tensor, nn

from fedbrats.site.hooks.hook import SiteHook


class ProximalTerm(SiteHook):
    """Adds the gradient of mu / 2 * |w - w_received|^2; the loss that is reported stays without it.

    Args:
        mu: how strongly weights are held, from 0.
    """

    name = "proximal"

    def __init__(self, mu: float) -> None:
        self._mu = mu
        self._received: list[Tensor] = []

    def before_steps(self, network: nn.Module) -> None:
        """Remember the weights that the round begins with."""
        self._received = [parameter.detach().clone() for parameter in network.parameters()]

    def change_gradient(self, network: nn.Module) -> None:
        """Pull every parameter towards what was received."""
        for parameter, received in zip(network.parameters(), self._received, strict=True):
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - received, alpha=self._mu)
