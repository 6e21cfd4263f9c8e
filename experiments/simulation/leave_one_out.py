"""Does a method's weight follow what a hospital is worth? Leave-one-out retraining is the judge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy

from .federate import train
from .methods import FedAvg, Method
from .quadratics import Hospital, Setting, excess, found, random_length

WORST = 0.8  # how far the optimum of the worst hospital is moved from the truth to a direction of its own


def rank_correlation(setting: Setting, method_class: type[Method], seed: int) -> float:
    """Spearman's correlation, over hospitals of graded label quality, of weight over prior with worth.

    The worth of a hospital is the loss that FedAvg has at honest hospitals without it minus the loss with it.
    """
    rng = np.random.default_rng(seed)
    honest = found(setting, rng)
    graded = _grade(honest, rng)
    registered = {each.name: each.cases for each in graded}
    _, steps = train(graded, method_class(registered), np.random.default_rng(seed))
    weights = np.mean([[step.weights[name] for name in registered] for step in steps], axis=0)

    def loss(hospitals: list[Hospital]) -> float:
        model, _ = train(hospitals, FedAvg(registered), np.random.default_rng(seed))
        return excess(model, honest)

    with_all = loss(graded)
    worth = [loss([other for other in graded if other is not each]) - with_all for each in graded]
    return float(scipy.stats.spearmanr(weights / np.array(list(registered.values())), worth).statistic)


def _grade(hospitals: list[Hospital], rng: np.random.Generator) -> list[Hospital]:
    """Labels from right to mostly wrong, in random order over the hospitals."""
    grades = rng.permutation(np.linspace(0.0, WORST, len(hospitals)))
    return [
        replace(each, cases=20, optimum=(1.0 - grade) * each.optimum + grade * random_length(rng, 1.0))
        for each, grade in zip(hospitals, grades, strict=True)
    ]
