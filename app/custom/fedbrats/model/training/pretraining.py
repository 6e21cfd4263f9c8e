"""Train a network on phantoms alone: the start of a federation that costs no patient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fedbrats.data.phantom.stream import PhantomStream, drawn_ahead
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.hooks import StepHook
from fedbrats.model.training.trainer import Trainer

STEPS_A_ROUND = 64


class WeightAverage(StepHook):
    """The average of the weights after every step, later ones the more: of n steps, number k weighs about k^POWER.

    With it the learning rate need not fall, so that fewer steps are the beginning of more, and any of them can be the
    last (Karras 2024, arXiv:2312.02696).

    Attributes:
        weights: the average, by name.
    """

    POWER = 6.0

    def __init__(self) -> None:
        self.weights: dict[str, Tensor] = {}
        self._steps = 0

    def after_step(self, network: nn.Module) -> None:
        """Take in the weights as they are now."""
        self._steps += 1
        own = network.state_dict()
        if self._steps == 1:
            self.weights = {name: value.clone() for name, value in own.items()}
            return
        share = 1 - (1 - 1 / self._steps) ** (self.POWER + 1)
        with torch.no_grad():
            for name, value in own.items():
                self.weights[name].lerp_(value, share)


def pretrain(
    network: Mapping[str, Any],
    settings: TrainingSettings,
    stream: PhantomStream,
    rounds: int,
    *,
    start: Mapping[str, NDArray[np.floating]] | None = None,
    workers: int = 1,
    threads: int | None = None,
    device: str = "auto",
    on_round: Callable[[int, float], None] | None = None,
) -> Trainer:
    """Train `rounds` rounds of STEPS_A_ROUND steps, each on phantoms of its own.

    The trainer that is given back holds the average of the weights. The same arguments give the same bits on one
    machine and version of torch, whatever `workers` is.

    Args:
        network: arguments of SegmentationNetwork.
        stream: the phantoms.
        start: weights to begin with; None takes those that the network's seed draws.
        workers: processes that draw phantoms.
        on_round: told each round's number and loss.
    """
    trainer: Trainer | None = None
    settings = settings.changed(
        local_steps=STEPS_A_ROUND, local_epochs=None, schedule="constant", warmup_share=0.0, keep_optimiser=True
    )
    average = WeightAverage()
    with drawn_ahead(stream, rounds, workers) as drawn:
        for number, cases in enumerate(drawn):
            if trainer is None:
                trainer = Trainer(network, settings, cases, seed=stream.seed, device=device, threads=threads)
                if start:
                    trainer.set_weights(start)
            else:
                trainer.use_cases(cases)
            outcome = trainer.train_round(number, rounds, hooks=(average,))
            if on_round:
                on_round(number, outcome.loss)
    assert trainer is not None
    trainer.set_weights({name: value.cpu().numpy() for name, value in average.weights.items()})
    return trainer
