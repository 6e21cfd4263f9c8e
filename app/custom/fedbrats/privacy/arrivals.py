"""What arrives at a site: a model is judged before anything is trained from it, as the server judges updates.

A server that does not follow the protocol can send a model that was made to draw single patients out of the next
update (Boenisch et al. 2023, arXiv:2112.02918; Shi et al. 2024, arXiv:2407.09972). Such a model is far away from the
one before.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from fedbrats.errors import UpdateError
from fedbrats.outside import show

LARGEST_JUMP = 10.0  # times the largest move so far, for each round since the last model
ROUNDING = 1 + 1e-6  # a way of many moves in one direction is as long as their sum, but for rounding
LEAST_EVALUATIONS = 4  # the final and the best model, each asked for twice
ABOUT = "about"  # among the names of weights, the numbers beside them
Weights = Mapping[str, np.ndarray]


class ArrivedModelError(UpdateError):
    """A model that a site does not train from or evaluate."""


class Arrivals:
    """What one job has sent to a site so far; judges what comes next.

    A move is the distance of a model to the one before it, or the length of the site's own update. A model is let in

    - within ten times the largest move, or within the length of the last model, for each round since: the site's own
      update may be tiny beside those of others, which have more cases;
    - within the sum of all moves: an earlier model, and a mean of earlier ones, is never further away, so that a server
      may go back, average or pull back.

    Args:
        shapes: of every weight of the network, by name.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self._last: dict[str, np.ndarray] | None = None
        self._round = -1
        self._largest = self._travelled = 0.0  # the largest move, and the sum of those from model to model
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
            bound = max(max(LARGEST_JUMP * self._largest, length(self._last)) * since, ROUNDING * self._travelled)
            if self._largest > 0 and not move <= bound:
                raise ArrivedModelError(
                    f"the model of round {round_number} is refused: it is {move:.3g} away from that of round "
                    f"{self._round}, and by the largest move of this job so far, {self._largest:.3g}, it may be "
                    f"{bound:.3g} away"
                )
            self._largest = max(self._largest, move)
            self._travelled += move
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

    def learn_own(self, update: Weights) -> None:
        """The site's own move says how far a model may move in a round."""
        own = length(update)
        if math.isfinite(own):
            self._largest = max(self._largest, own)

    def state(self) -> dict[str, np.ndarray]:
        """What a restart needs, as arrays: the last model and the moves."""
        return {ABOUT: np.array([self._round, self._largest, self._travelled]), **(self._last or {})}

    def restore(self, state: Weights | None) -> None:
        """Take up the `state` of a process before this one; nothing where a model has arrived in this one.

        So a server does not make a site forget by asking for an earlier round again.
        """
        if state and self._last is None:
            about = [float(each) for each in state[ABOUT]]
            self._round, self._largest, self._travelled = int(about[0]), about[1], about[2]
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
    return _root(_square(one[name].astype(np.float64) - other[name]) for name in sorted(one))


def length(weights: Weights) -> float:
    """The Euclidean norm over all names, as of `distance`."""
    return _root(_square(weights[name].astype(np.float64)) for name in sorted(weights))


def _root(squares: Iterable[float]) -> float:
    with np.errstate(over="ignore"):
        return math.sqrt(sum(squares))


def _square(array: np.ndarray) -> float:
    flat = array.ravel()
    return float(np.dot(flat, flat))
