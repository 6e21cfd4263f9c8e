"""One simulated federation from the first round to the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .methods import Answer, Method, Step
from .quadratics import SIZE, Hospital, Setting, excess, found
from .trouble import Trouble

DICE_NOISE = 0.01  # deviation of a gain in Dice that comes from having few validation cases


@dataclass(frozen=True)
class Course:
    """What came of one federation.

    `excess` is the share of the honest sites' avoidable loss that is left at the end (infinite where the model broke).
    The ratios are (rounds, troubled sites): the weight, and the influence of what was sent, over the prior by true
    cases; NaN for methods without weights. The others count rounds in quarantine.
    """

    excess: float
    weight_ratio: np.ndarray
    influence_ratio: np.ndarray
    troubled_in_quarantine: int
    others_in_quarantine: int


def run(setting: Setting, trouble: Trouble, method_class: type[Method], seed: int) -> Course:
    """Found the hospitals of this seed, make trouble, and train; a seed gives all methods the same hospitals."""
    rng = np.random.default_rng(seed)
    hospitals = found(setting, rng)
    registered = {hospital.name: hospital.cases for hospital in hospitals}
    troubled = [hospital.name for hospital in hospitals[-trouble.count :]]
    if trouble.mislead:
        hospitals = [trouble.mislead(each, rng) if each.name in troubled else each for each in hospitals]
    honest = [each for each in hospitals if trouble.honest or each.name not in troubled]
    model, steps = train(hospitals, method_class(registered), rng, trouble, troubled)
    priors = np.array([registered[name] for name in troubled]) / sum(registered.values())
    quarantined = [trace.site for step in steps for trace in step.traces if trace.quarantined]
    return Course(
        excess=excess(model, honest),
        weight_ratio=np.array([[step.weights.get(name, np.nan) for name in troubled] for step in steps]) / priors,
        influence_ratio=np.array([[step.influences.get(name, np.nan) for name in troubled] for step in steps]) / priors,
        troubled_in_quarantine=sum(site in troubled for site in quarantined),
        others_in_quarantine=sum(site not in troubled for site in quarantined),
    )


def train(
    hospitals: Sequence[Hospital],
    method: Method,
    rng: np.random.Generator,
    trouble: Trouble | None = None,
    troubled: Sequence[str] = (),
) -> tuple[np.ndarray, list[Step]]:
    """(the last model (D,), what the method did in each round); training ends early where the model breaks."""
    minus = _MinusModels(hospitals)
    model = np.zeros(SIZE)
    steps: list[Step] = []
    for round_number in range(hospitals[0].setting.rounds):
        scores = minus.scores(model) if method.needs_minus_score else {}
        answers = _answer(hospitals, model, trouble or Trouble(), troubled, round_number, scores, rng)
        steps.append(method.step(answers, round_number))
        minus.remember({each.site: model + each.update for each in answers}, steps[-1].weights)
        model = model + steps[-1].update
        if not np.isfinite(model).all():
            break
    return model, steps


class _MinusModels:
    """The sites' side of FedCE: how well the model does at each site without that site."""

    def __init__(self, hospitals: Sequence[Hospital]) -> None:
        self._hospitals = hospitals
        self._dice: dict[str, list[float]] = {each.name: [] for each in hospitals}
        self._models: Mapping[str, np.ndarray] = {}
        self._weights: Mapping[str, float] = {}

    def scores(self, model: np.ndarray) -> dict[str, float]:
        """One minus the mean Dice so far of (model - p * own model of last round) / (1 - p); 0 is the first Dice."""
        for each in self._hospitals:
            dice = 0.0
            if self._models:
                weight = self._weights[each.name]
                dice = each.dice((model - weight * self._models[each.name]) / (1.0 - weight))
            self._dice[each.name].append(dice)
        return {name: 1.0 - float(np.mean(dice)) for name, dice in self._dice.items()}

    def remember(self, models: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> None:
        """Keep what each site needs for the next round: its own model and its weight."""
        self._models, self._weights = models, weights


def _answer(
    hospitals: Sequence[Hospital],
    model: np.ndarray,
    trouble: Trouble,
    troubled: Sequence[str],
    round_number: int,
    scores: Mapping[str, float],
    rng: np.random.Generator,
) -> list[Answer]:
    """What every site sends. A site measures its usefulness before it corrupts: the hardest case for the server."""
    honest_updates = [each.train(model, rng) for each in hospitals]
    answers = []
    for each, own in zip(hospitals, honest_updates, strict=True):
        usefulness = each.dice(model + own) - each.dice(model) + DICE_NOISE * float(rng.standard_normal())
        sent, cases = own, each.cases
        if each.name in troubled:
            sent = trouble.corrupt(own, honest_updates[0], round_number, rng) if trouble.corrupt else own
            cases = trouble.cases or cases
        answers.append(Answer(each.name, cases, sent, usefulness, scores.get(each.name, 1.0)))
    return answers
