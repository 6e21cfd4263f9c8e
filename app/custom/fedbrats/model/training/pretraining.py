"""Train a network on phantoms alone: the start of a federation that costs no patient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fedbrats.data.phantom.stream import PhantomStream, drawn_ahead
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.trainer import Trainer

STEPS_A_ROUND = 64


def pretrain(
    network: Mapping[str, Any],
    settings: TrainingSettings,
    stream: PhantomStream,
    rounds: int,
    *,
    workers: int = 1,
    threads: int | None = None,
    device: str = "auto",
    on_round: Callable[[int, float], None] | None = None,
) -> Trainer:
    """Train `rounds` rounds of STEPS_A_ROUND steps, each on phantoms of its own.

    The same arguments give the same bits on one machine and version of torch, whatever `workers` is.

    Args:
        network: arguments of SegmentationNetwork.
        stream: the phantoms.
        workers: processes that draw phantoms.
        on_round: told each round's number and loss.
    """
    trainer: Trainer | None = None
    settings = settings.changed(local_steps=STEPS_A_ROUND, local_epochs=None)
    with drawn_ahead(stream, rounds, workers) as drawn:
        for number, cases in enumerate(drawn):
            if trainer is None:
                trainer = Trainer(network, settings, cases, seed=stream.seed, device=device, threads=threads)
            else:
                trainer.use_cases(cases)
            outcome = trainer.train_round(number, rounds)
            if on_round:
                on_round(number, outcome.loss)
    assert trainer is not None
    return trainer
