"""What a method may change of the steps of a local round."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a hook of one's own is judged before a job starts, and PyTorch takes seconds to import
    from torch import Tensor, nn


class StepHook:
    """Called at each place of a round where a method may act; every method does nothing unless it is overridden."""

    def before_steps(self, network: nn.Module) -> None:
        """The network holds the weights that the round begins with."""

    def change_loss(self, loss: Tensor, network: nn.Module) -> Tensor:
        """The loss of a step, a scalar; what is returned is differentiated and reported."""
        return loss

    def change_gradient(self, network: nn.Module) -> None:
        """Every parameter's `grad` is that of the loss; called before gradients are clipped."""

    def after_step(self, network: nn.Module) -> None:
        """The optimiser has changed the weights."""
