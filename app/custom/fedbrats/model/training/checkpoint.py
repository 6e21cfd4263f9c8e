"""The state of a training after a round, in one file: with it, the rounds that follow give the same bits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fedbrats.array_files import read_checkpoint
from fedbrats.atomic import write_bytes_atomic
from fedbrats.errors import DamagedFileError, DataError, UpdateError
from fedbrats.model.training.trainer import Trainer


@dataclass(frozen=True)
class Checkpoint:
    """What was read.

    Attributes:
        rounds_done: how many rounds are in it.
        about: what the writer wanted to know again, as JSON.
    """

    rounds_done: int
    about: dict[str, Any]
    _weights: dict[str, Any]
    _optimiser: dict[str, Any]

    def apply(self, trainer: Trainer) -> None:
        """Bring a trainer to where it was. Raises: UpdateError for a trainer of another network or optimiser."""
        try:
            trainer.network.load_state_dict(self._weights)
            trainer.optimisation.load_state(self._optimiser)
        except (RuntimeError, ValueError, LookupError, TypeError) as error:
            raise UpdateError(f"the checkpoint is of another network or optimiser: {error!s:.200}") from None


def write_checkpoint(path: Path, trainer: Trainer, rounds_done: int, about: dict[str, Any]) -> None:
    """Atomically replace `path`: there is always the state of one round, whole."""
    document = {
        "rounds_done": rounds_done,
        "about": json.dumps(about, allow_nan=False),
        "model": trainer.network.state_dict(),
        "optimiser": trainer.optimisation.state(),
    }
    write_bytes_atomic(path, lambda stream: torch.save(document, stream))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises: DataError if there is none, or it is damaged."""
    try:
        document = read_checkpoint(path)
        about = json.loads(document["about"])
        return Checkpoint(int(document["rounds_done"]), about, document["model"], document["optimiser"])
    except FileNotFoundError:
        raise DataError(
            f"{path.parent} holds no {path.name}: its training is finished, or ended before a round"
        ) from None
    except (DamagedFileError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path} cannot be read: {error!s:.200}") from None
