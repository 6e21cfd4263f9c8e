"""What a site must remember to go on after it was killed: one folder a round, on the site's own disk.

    PERSONAL_DIR/JOB/SITE/personal.npz             the personal weights of the last round
    PERSONAL_DIR/JOB/SITE/round-000007/            after round 7: optimiser.pt, and where there are any,
                                                   personal.npz and trained.npz (the trained model, for FedCE)

A round that is repeated, or a job that goes on from an earlier round, begins with what the round before it left, never
with what was learned since: a site that is asked twice answers twice the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fedbrats.arrays import write_arrays
from fedbrats.atomic import new_folder
from fedbrats.site.personal import PERSONAL_FILE

if TYPE_CHECKING:
    from fedbrats.model.training import Trainer

OPTIMISER_FILE, TRAINED_FILE = "optimiser.pt", "trained.npz"
KEPT_ROUNDS = 3  # the server may go back two: the round it was killed in, and a state of its own that it cannot read


def save_round(
    folder: Path,
    round_number: int,
    trainer: Trainer,
    *,
    personal: Mapping[str, np.ndarray] | None,
    trained: Mapping[str, np.ndarray] | None,
) -> None:
    """Keep what a round left, whole or not at all, and forget what is older than the last three."""
    with new_folder(folder / f"round-{round_number:06d}") as new:
        trainer.save_state(new / OPTIMISER_FILE)
        for name, weights in ((PERSONAL_FILE, personal), (TRAINED_FILE, trained)):
            if weights:
                write_arrays(new / name, weights)
    for old in _rounds(folder)[KEPT_ROUNDS:]:
        shutil.rmtree(old, ignore_errors=True)


def find_round(folders: Sequence[Path], before: int) -> Path | None:
    """The newest kept round before this one, in the first of the folders that has any; None where all was lost."""
    for folder in folders:
        for path in _rounds(folder):
            if int(path.name.removeprefix("round-")) < before:
                return path
    return None


def _rounds(folder: Path) -> list[Path]:
    """The kept rounds of a job, newest first."""
    return sorted((path for path in folder.glob("round-*") if path.name[6:].isdigit()), reverse=True)
