"""What a site must remember to go on after it was killed: one folder a round, on the site's own disk.

    PERSONAL_DIR/JOB/SITE/personal.npz             the personal weights of the last round
    PERSONAL_DIR/JOB/SITE/round-000007/            after round 7: optimiser.pt, and the state of every hook that has
                                                   any, such as personal.npz and trained.npz (for FedCE)

A round that is repeated, or a job that goes on from an earlier round, begins with what the round before it left, never
with what was learned since: a site that is asked twice answers twice the same.

A simulation, whose sites end with its process, keeps small states of its rounds in memory instead.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fedbrats.array_files import write_arrays
from fedbrats.atomic import new_folder
from fedbrats.errors import UpdateError
from fedbrats.site.hooks.hook import SiteHook
from fedbrats.site.personal import load_weights
from fedbrats.site.task import Weights
from fedbrats.site_report import FRESH, KEPT, STORED

if TYPE_CHECKING:
    from fedbrats.model.training.optimisation import Optimisation

OPTIMISER_FILE = "optimiser.pt"
KEPT_ROUNDS = 3  # the server may go back two: the round it was killed in, and a state of its own that it cannot read
SMALL_BYTES = 2**18  # of a round's state at a site, of which a simulation has hundreds

logger = logging.getLogger(__name__)
_small_in_memory = False


def keep_small_states_in_memory() -> None:
    """From now on this process keeps small states of rounds in memory, for nobody takes them up after its end."""
    global _small_in_memory
    _small_in_memory = True


@dataclass(frozen=True)
class _Round:
    """The state after a round, in memory: of the optimiser, and of the hooks by their names."""

    optimiser: Mapping[str, Any]
    hooks: Mapping[str, Weights]


class SiteState:
    """The optimiser and the states of the hooks, in memory and on the disk.

    Args:
        folders: where this job keeps them, then where those do that it goes on from, newest first.
        optimisation: the optimiser.
        hooks: of the job.
    """

    def __init__(self, folders: Sequence[Path], optimisation: Optimisation, hooks: Sequence[SiteHook]) -> None:
        self._folders = tuple(folders)
        self._optimisation = optimisation
        self._hooks = tuple(hooks)
        self._round: int | None = None  # whose state is at work; None where it must be taken up again
        self._rounds: dict[int, _Round] = {}  # those that are kept in memory

    def take_up(self, round_number: int) -> Literal["kept", "stored", "fresh"]:
        """Have in memory what the round before this one left; returns where it came from.

        Until this round is kept, nothing counts as in memory: what fails or is aborted begins anew from the disk.

        Raises: DataError where weights that a hook keeps cannot be read; they are never written over.
        """
        before, self._round = self._round, None
        if before is not None and before < round_number:
            return KEPT
        for hook in self._latest_keepers():
            load_weights(self._folders[0] / _file_of(hook))
        kept = find_round(self._folders, round_number)
        earlier = max((number for number in self._rounds if number < round_number), default=None)
        if earlier is not None and (kept is None or _number_of(kept) <= earlier):
            self._take_back(self._rounds[earlier])
            return STORED
        for hook in self._hooks:
            hook.restore(load_weights(kept / _file_of(hook)) if kept else None)
        if kept is None:
            self._optimisation.reset()
            if round_number > 0:
                logger.warning("nothing of an earlier round is here; the round begins anew round=%d", round_number)
            return FRESH
        try:
            self._optimisation.load(kept / OPTIMISER_FILE)
        except UpdateError as error:
            logger.error("%s; the round begins with a new optimiser round=%d", error, round_number)
            self._optimisation.reset()
            return FRESH
        return STORED

    def take_up_latest(self) -> None:
        """Have in memory what the last round left that hooks keep beside the rounds, for an evaluation.

        Raises: DataError where it cannot be read.
        """
        if self._round is None:  # a job that goes on after its last round
            for hook in self._latest_keepers():
                stored = (load_weights(folder / _file_of(hook)) for folder in self._folders)
                hook.restore(next((state for state in stored if state is not None), None))

    def keep(self, round_number: int) -> None:
        """Keep what a round left, whole or not at all, and forget what is older than the last three."""
        folder = self._folders[0]
        states = {hook: state for hook in self._hooks if (state := hook.state())}
        for hook in self._latest_keepers():
            if hook in states:
                write_arrays(folder / _file_of(hook), states[hook])
        if _small_in_memory and self._is_small(states):
            copies = {hook.name: _copy(state) for hook, state in states.items()}
            self._rounds[round_number] = _Round(self._optimisation.packed(), copies)
            for number in sorted(self._rounds)[:-KEPT_ROUNDS]:
                del self._rounds[number]
        else:
            self._write(folder, round_number, states)
        self._round = round_number

    def _write(self, folder: Path, round_number: int, states: Mapping[SiteHook, Weights]) -> None:
        """Keep a round on the disk."""
        self._rounds.pop(round_number, None)  # of a round that is repeated, and whose state was small
        with new_folder(folder / f"round-{round_number:06d}") as new:
            self._optimisation.save(new / OPTIMISER_FILE)
            for hook, state in states.items():
                write_arrays(new / _file_of(hook), state)
        for old in _rounds(folder)[KEPT_ROUNDS:]:
            shutil.rmtree(old, ignore_errors=True)

    def _is_small(self, states: Mapping[SiteHook, Weights]) -> bool:
        arrays = (array for state in states.values() for array in state.values())
        return self._optimisation.nbytes + sum(array.nbytes for array in arrays) <= SMALL_BYTES

    def _take_back(self, kept: _Round) -> None:
        for hook in self._hooks:
            state = kept.hooks.get(hook.name)
            hook.restore(None if state is None else _copy(state))
        self._optimisation.unpack(kept.optimiser)

    def _latest_keepers(self) -> list[SiteHook]:
        return [hook for hook in self._hooks if hook.keeps_latest]


def find_round(folders: Sequence[Path], before: int) -> Path | None:
    """The newest kept round before this one, in the first of the folders that has any; None where all was lost."""
    for folder in folders:
        for path in _rounds(folder):
            if _number_of(path) < before:
                return path
    return None


def _copy(state: Weights) -> dict[str, np.ndarray]:
    return {name: np.array(array) for name, array in state.items()}


def _file_of(hook: SiteHook) -> str:
    return f"{hook.name}.npz"


def _number_of(path: Path) -> int:
    return int(path.name.removeprefix("round-"))


def _rounds(folder: Path) -> list[Path]:
    """The kept rounds of a job, newest first."""
    return sorted((path for path in folder.glob("round-*") if path.name[6:].isdigit()), reverse=True)
