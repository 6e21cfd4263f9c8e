"""Aggregation methods of the simulation, each a function from one round's answers to an update and the weights used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedbrats.federation import gates
from fedbrats.federation.factor.contribution import (
    FactorSettings,
    Memory,
    SiteTrace,
    weigh,
)
from fedbrats.federation.factor.similarity import SKETCH_LENGTH, sketch
from fedbrats.federation.gates import Contribution, Expectation
from fedbrats.federation.robust import coordinate_median, trimmed_mean
from fedbrats.federation.updates import weighted_mean

from .quadratics import LAYERS, as_layers, as_vector


@dataclass(frozen=True)
class Answer:
    """What one site sends: its update as a vector (D,), and what it says of itself.

    `minus_score` is one minus the mean Dice so far of the model without this site, as FLARE's FedCE example has it.
    """

    site: str
    cases: int
    update: np.ndarray
    usefulness: float
    minus_score: float = 1.0


@dataclass(frozen=True)
class Step:
    """The update of the model (D,), the weights, and by site the coefficient on the update as it was sent."""

    update: np.ndarray
    weights: Mapping[str, float]
    influences: Mapping[str, float]
    traces: Sequence[SiteTrace] = ()


class Method:
    """An aggregation with a memory of its own; `registered` are the true numbers of cases."""

    needs_minus_score = False

    def __init__(self, registered: Mapping[str, int]) -> None:
        self.registered = registered

    def step(self, answers: Sequence[Answer], round_number: int) -> Step:
        """Return what one round's answers do to the model."""
        raise NotImplementedError


class FedAvg(Method):
    """Weights by declared cases, nothing checked: what FLARE's own aggregator does."""

    def step(self, answers: Sequence[Answer], round_number: int) -> Step:
        cases = np.array([float(answer.cases) for answer in answers])
        return _mean(answers, cases / cases.sum())


class FedCE(Method):
    """FedCE (Jiang et al. 2023, arXiv:2303.16520) as FLARE 2.9 computes it, in its additive form.

    A site weighs by its novelty, one minus its mean cosine so far with the others' weighted sum, plus its score: how
    badly the model does at it without it. Each is normalised over the sites; in the first round all sites are alike.
    """

    needs_minus_score = True
    smallest = 1e-6

    def __init__(self, registered: Mapping[str, int]) -> None:
        super().__init__(registered)
        self._weights: dict[str, float] = {}
        self._cosines: dict[str, list[float]] = {}

    def step(self, answers: Sequence[Answer], round_number: int) -> Step:
        past = np.array([self._weights.get(answer.site, 1.0 / len(answers)) for answer in answers])
        stack = np.stack([answer.update for answer in answers])
        consensus = past @ stack
        for answer, weight in zip(answers, past, strict=True):
            cosine = _cosine(answer.update, consensus - weight * answer.update)
            self._cosines.setdefault(answer.site, []).append(cosine)
        novelty = np.array([max(0.0, 1.0 - float(np.mean(self._cosines[answer.site]))) for answer in answers])
        scores = np.array([answer.minus_score for answer in answers])
        weights = self._normalise(self._normalise(novelty) + self._normalise(scores))
        self._weights = {answer.site: float(weight) for answer, weight in zip(answers, weights, strict=True)}
        return _mean(answers, weights)

    def _normalise(self, values: np.ndarray) -> np.ndarray:
        values = np.maximum(values, self.smallest)
        return values / values.sum()


class Gated(Method):
    """Methods of this package: what fails a gate is left out, what is too long is clipped, before `combine` sees it."""

    def step(self, answers: Sequence[Answer], round_number: int) -> Step:
        expectation = Expectation(dict(LAYERS), round_number, max_cases=self.registered)
        offered = [
            Contribution(answer.site, round_number, answer.cases, 1, as_layers(answer.update), answer.usefulness)
            for answer in answers
        ]
        accepted, _, _ = gates.clip_to_median([each for each in offered if not gates.check(each, expectation, set())])
        weights, traces = self.combine(accepted, round_number)
        silent = dict.fromkeys((answer.site for answer in answers), 0.0)
        influences = {each.site: weights[each.site] * each.clip_scale for each in accepted}
        update = weighted_mean([each.update for each in accepted], [weights[each.site] for each in accepted])
        return Step(as_vector(update), {**silent, **weights}, {**silent, **influences}, traces)

    def combine(
        self, accepted: Sequence[Contribution], round_number: int
    ) -> tuple[dict[str, float], Sequence[SiteTrace]]:
        """Return the weight of each accepted site, and traces where the method keeps them."""
        total = float(sum(each.cases for each in accepted))
        return {each.site: each.cases / total for each in accepted}, ()


class Factor(Gated):
    """The Contribution Factor."""

    settings = FactorSettings()

    def __init__(self, registered: Mapping[str, int]) -> None:
        super().__init__(registered)
        self._memory = Memory()

    def combine(
        self, accepted: Sequence[Contribution], round_number: int
    ) -> tuple[dict[str, float], Sequence[SiteTrace]]:
        weights, traces, self._memory = weigh(accepted, self._memory, round_number, self.settings, min_clients=2)
        return weights, traces


class SketchedFactor(Factor):
    """The Contribution Factor of a job with `secure=pads`: gates, clipping and weights from sketches alone."""

    def step(self, answers: Sequence[Answer], round_number: int) -> Step:
        expectation = Expectation({"sketch": (SKETCH_LENGTH,)}, round_number, max_cases=self.registered)
        offered = [
            Contribution(each.site, round_number, each.cases, 1, {"sketch": sketch(as_layers(each.update))},
                         each.usefulness)
            for each in answers
        ]  # fmt: skip
        accepted, _, _ = gates.clip_to_median([each for each in offered if not gates.check(each, expectation, set())])
        weights, traces = self.combine(accepted, round_number)
        silent = dict.fromkeys((answer.site for answer in answers), 0.0)
        influences = {**silent, **{each.site: weights[each.site] * each.clip_scale for each in accepted}}
        update = np.sum([influences[each.site] * each.update for each in answers if influences[each.site] > 0], axis=0)
        return Step(update / sum(weights.values()), {**silent, **weights}, influences, traces)


class Median(Gated):
    """The coordinate median behind the gates; no site has a weight."""

    centre = staticmethod(coordinate_median)

    def step(self, answers: Sequence[Answer], round_number: int) -> Step:
        expectation = Expectation(dict(LAYERS), round_number, max_cases=self.registered)
        offered = [Contribution(each.site, round_number, each.cases, 1, as_layers(each.update)) for each in answers]
        accepted = [each.update for each in offered if not gates.check(each, expectation, set())]
        return Step(as_vector(self.centre(accepted)), {}, {})


class TrimmedMean(Median):
    """The mean without a fifth of the values at each end, behind the gates; no site has a weight."""

    centre = staticmethod(trimmed_mean)


METHODS: dict[str, type[Method]] = {
    "FedAvg": FedAvg,
    "FedAvg, gated": Gated,
    "FedCE": FedCE,
    "median": Median,
    "trimmed mean": TrimmedMean,
    "factor": Factor,
}


def _mean(answers: Sequence[Answer], weights: np.ndarray) -> Step:
    stack = np.stack([answer.update for answer in answers])
    sites = [answer.site for answer in answers]
    by_site = dict(zip(sites, weights.tolist(), strict=True))
    return Step(weights @ stack, by_site, by_site)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / length if length > 0.0 and math.isfinite(length) else 0.0
