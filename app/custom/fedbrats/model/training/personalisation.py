"""A hospital that joins later: the shared body as it is, and only the personal part trained on the site's own cases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from fedbrats.errors import ConfigurationError
from fedbrats.model.training.hooks import StepHook
from fedbrats.model.training.trainer import Trainer, TrainOutcome


def train_personal_part(
    trainer: Trainer,
    personal: Collection[str],
    rounds: int,
    on_round: Callable[[int, TrainOutcome], None],
    hooks: Sequence[StepHook] = (),
) -> dict[str, NDArray[np.float32]]:
    """Train the personal names alone for `rounds` rounds and return them; every other weight stays bit for bit.

    Raises: ConfigurationError where nothing would be trained.
    """
    parameters = dict(trainer.network.named_parameters())
    if not set(personal) & set(parameters):
        raise ConfigurationError("the personal set is empty, so there is nothing to train; give head, decoder or norm")
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in personal)
    for round_number in range(rounds):
        on_round(round_number, trainer.train_round(round_number, rounds, hooks=hooks))
    weights = trainer.get_weights()
    return {name: weights[name] for name in personal}
