"""What arrives at a site: a model is judged before anything is trained from it, as the server judges updates.

A server that does not follow the protocol can send a model that was made to draw single patients out of the next
update (Boenisch et al. 2023, arXiv:2112.02918; Shi et al. 2024, arXiv:2407.09972). Such a model is far away from the
one before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from fedbrats.errors import UpdateError
from fedbrats.outside import show

LARGEST_JUMP = 10.0  # times the largest move so far, for each round since the last model
LEAST_EVALUATIONS = 4  # the final and the best model, each asked for twice
ABOUT = "about"  # among the names of weights, the numbers beside them
Weights = Mapping[str, np.ndarray]


class ArrivedModelError(UpdateError):
    """A model that a site does not train from or evaluate."""


class Arrivals:
    """What one job has sent to a site so far; judges what comes next.

    A move is the distance of a model to the one before it, or the length of the site's own update, whichever is longer.

    Args:
        shapes: of every weight of the network, by name.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self._last: dict[str, np.ndarray] | None = None
        self._round = -1
        self._largest = 0.0
        self._evaluations = 0
        self._rounds: int | None = None

    def judge_model(self, weights: Weights, round_number: int, total_rounds: int) -> None:
        """Accept the model of a round, or raise ArrivedModelError and keep what is known as it was."""
        self._judge_form(weights)
        if self._rounds is not None and total_rounds != self._rounds:
            raise ArrivedModelError(
                f"the model of round {round_number} is refused: the job had {self._rounds} rounds, now it says "
                f"{total_rounds}"
            )
        if self._last is not None:
            move, since = distance(weights, self._last), max(1, abs(round_number - self._round))
            bound = LARGEST_JUMP * self._largest * since
            if self._largest > 0 and not move <= bound:
                raise ArrivedModelError(
                    f"the model of round {round_number} is refused: it is {move:.3g} away from that of round "
                    f"{self._round}, and {LARGEST_JUMP:g} times the largest move of this job so far is {bound:.3g}"
                )
            self._largest = max(self._largest, move)
        self._last = {name: np.array(value, dtype=np.float32) for name, value in weights.items()}
        self._round, self._rounds = round_number, total_rounds

    def judge_evaluation(self, weights: Weights) -> None:
        """Accept one more model to evaluate, or raise ArrivedModelError.

        Scores of many models say what single cases add to them.
        """
        self._judge_form(weights)
        most = max(LEAST_EVALUATIONS, self._rounds or 0)
        if self._evaluations >= most:
            raise ArrivedModelError(f"a model to evaluate is refused: this job has asked for {most} evaluations before")
        self._evaluations += 1

    def learn_own(self, trained: Weights) -> None:
        """What the site made of the last model: its own move says how far a model may move in a round."""
        length = distance(trained, self._last) if self._last is not None else math.inf
        if math.isfinite(length):
            self._largest = max(self._largest, length)

    def state(self) -> dict[str, np.ndarray]:
        """What a restart needs, as arrays."""
        known = np.array([self._round, self._largest, self._evaluations, -1 if self._rounds is None else self._rounds])
        return {ABOUT: known, **(self._last or {})}

    def restore(self, state: Weights | None) -> None:
        """Be as when `state` was taken; None for a job that begins."""
        self._last, self._round, self._largest, self._evaluations, self._rounds = None, -1, 0.0, 0, None
        if state:
            numbers = [float(each) for each in state[ABOUT]]
            self._round, self._largest, self._evaluations = int(numbers[0]), numbers[1], int(numbers[2])
            self._rounds = None if numbers[3] < 0 else int(numbers[3])
            self._last = {name: value for name, value in state.items() if name != ABOUT} or None

    def _judge_form(self, weights: Weights) -> None:
        missing, unknown = self._shapes.keys() - weights.keys(), weights.keys() - self._shapes.keys()
        if missing or unknown:
            raise ArrivedModelError(
                f"the model is refused: {len(missing)} of its names are missing and {len(unknown)} unknown to this "
                f"job's network, such as {show(str(min(map(str, missing | unknown))))}"
            )
        for name, value in weights.items():
            if not isinstance(value, np.ndarray) or not np.issubdtype(value.dtype, np.floating):
                raise ArrivedModelError(f"the model is refused: {name} holds no floating-point numbers")
            if value.shape != self._shapes[name]:
                raise ArrivedModelError(
                    f"the model is refused: {name} has the shape {value.shape}, expected {self._shapes[name]}"
                )
            if not np.isfinite(value).all():
                raise ArrivedModelError(f"the model is refused: {name} holds NaN or infinity")


def distance(one: Weights, other: Weights) -> float:
    """The Euclidean distance over all names; infinite where float64 cannot hold it."""
    with np.errstate(over="ignore"):
        return math.sqrt(sum(_squares(one[name], other[name]) for name in sorted(one)))


def _squares(one: np.ndarray, other: np.ndarray) -> float:
    flat = (one.astype(np.float64) - other).ravel()
    return float(np.dot(flat, flat))
