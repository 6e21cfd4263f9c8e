"""Each site keeps the model that serves its own patients best, and the common one in doubt.

In the personal rounds at the end of a job a site fits the common model to its cases three times, from the same weights
and for as many rounds each: without one half of its training cases, without the other half, and with all of them. Each
half is scored by the fit that has not seen it, so that every training case has a score of the common model and of each
other candidate. The last fit is what the site gets, if the scores say so.

A candidate is taken where its gain over the common model is larger than the standard error of that gain over patients,
and than LEAST_GAIN. A site with fewer than LEAST_PATIENTS patients to train on keeps the common model: two cases say
nothing about a third. The common model has seen the held-out cases in the federated rounds, which is in its favour.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fedbrats.federation.sharing import merge, split_names
from fedbrats.site.hooks.hook import SiteHook
from fedbrats.site.hooks.personal_layers import PersonalLayers
from fedbrats.site.task import RoundTask, Weights

if TYPE_CHECKING:
    from fedbrats.data.prepare.cache import CachedCase
    from fedbrats.model.training.trainer import TrainOutcome
    from fedbrats.site.local_site import LocalSite

FITS = 3  # without either half, and with all
COMMON, FITTED, HALFWAY, HEAD = "common", "fitted", "halfway", "head"
CANDIDATES = (COMMON, FITTED, HALFWAY, HEAD)
LEAST_PATIENTS = 3
LEAST_GAIN = 0.005  # mean Dice
logger = logging.getLogger(__name__)


class BestOf(SiteHook):
    """Chooses in the last round what the site keeps; stands after PersonalLayers, whose weights it replaces.

    Args:
        layers: the personal layers of the job.
        personal_rounds: the last rounds of the job, in which nothing is shared; at least FITS.
    """

    name = "best_of"

    def __init__(self, layers: PersonalLayers, personal_rounds: int) -> None:
        self._layers = layers
        self._personal_rounds = personal_rounds
        self._common: Weights | None = None
        self._scores: dict[str, np.ndarray] = {}  # by fit: (candidates, patients) mean Dice of the held-out half
        self._chosen: Weights | None = None

    def begin_round(self, site: LocalSite, weights: Weights, task: RoundTask) -> Weights:
        """The weights as they come, but for the first round of each fit, which begins with the common model."""
        self._chosen = None
        number = self._number(task)
        if number < 0:
            return weights
        if number == 0:
            self._scores = {}
        if number == 0 or self._common is None:  # a site that was away has not fitted it either
            self._common = dict(weights)
        if number in self._first_rounds():
            site.trainer.optimisation.reset()
            return self._common or weights
        return weights

    def train(
        self, site: LocalSite, task: RoundTask, hooks: Sequence[SiteHook], should_stop: Callable[[], bool]
    ) -> TrainOutcome | None:
        """A round of one fit; at the end of the fits it scores, and then chooses."""
        number = self._number(task)
        if number < 0 or self._common is None:
            return None
        firsts = self._first_rounds()
        fit = sum(number >= first for first in firsts) - 1
        ends = number + 1 in (*firsts, self._personal_rounds)
        halves = halve(site.trainer.training)
        all_cases = site.trainer.training
        if fit < len(halves) and len(halves[fit]) < len(all_cases):
            site.trainer.use_cases([case for case in all_cases if not any(case is each for each in halves[fit])])
        try:
            # Every fit follows the end of the schedule, as the last one does.
            at = task.total_rounds - self._personal_rounds + firsts[-1] + number - firsts[fit]
            outcome = site.trainer.train_round(
                min(at, task.total_rounds - 1), task.total_rounds, hooks=hooks, should_stop=should_stop
            )
        finally:
            site.trainer.use_cases(all_cases)
        if should_stop() or not ends:
            return outcome
        fitted = site.trainer.get_weights()
        candidates = make_candidates(self._common, fitted, site.trainer.network.personal_names("head"))
        if fit < FITS - 1:
            self._scores[str(fit)] = _score(site, candidates, halves[fit])
        else:
            choice, gain = choose(self._scores)
            logger.info("the site keeps one of its models; model=%s gain=%.4f site=%s", choice, gain, site.name)
            self._chosen = candidates[choice]
        site.trainer.set_weights(fitted)
        return outcome

    def end_round(self, trained: Weights) -> None:
        """Put the chosen model in the place of the last fit."""
        if self._chosen is not None:
            self._layers.restore(self._chosen)

    def state(self) -> Weights | None:
        """The common model and the scores so far."""
        if self._common is None:
            return None
        return {
            **{f"common/{name}": value for name, value in self._common.items()},
            **{f"scores/{fit}": value for fit, value in self._scores.items()},
        }

    def restore(self, state: Weights | None) -> None:
        """Go on after a round."""
        kept: dict[str, dict[str, np.ndarray]] = {"common": {}, "scores": {}}
        for name, value in (state or {}).items():
            kind, _, rest = name.partition("/")
            kept[kind][rest] = value
        self._common, self._scores, self._chosen = kept["common"] or None, kept["scores"], None

    def _number(self, task: RoundTask) -> int:
        """Which of the personal rounds it is; negative before them."""
        return task.round_number - (task.total_rounds - self._personal_rounds)

    def _first_rounds(self) -> list[int]:
        """Of each fit; rounds that are left over go to the last one."""
        return [fit * (self._personal_rounds // FITS) for fit in range(FITS)]


def halve(cases: Sequence[CachedCase]) -> list[list[CachedCase]]:
    """Two halves of the training cases, by patient; both are empty where there are too few to tell anything."""
    patients = sorted({case.patient for case in cases})
    if len(patients) < LEAST_PATIENTS:
        return [[], []]
    return [[case for case in cases if case.patient in patients[number::2]] for number in range(2)]


def make_candidates(common: Weights, fitted: Weights, head: Sequence[str]) -> dict[str, Weights]:
    """Every model that a site could keep, by name.

    Args:
        head: prefixes of the names of the network's last block.
    """
    body, own = split_names(common, head, allow_nothing_shared=True)
    halfway = {
        name: ((np.asarray(value, np.float64) + fitted[name]) / 2).astype(value.dtype) for name, value in common.items()
    }
    with_head = merge({name: common[name] for name in body}, {name: fitted[name] for name in own}, common)
    return {COMMON: common, FITTED: fitted, HALFWAY: halfway, HEAD: with_head}


def choose(scores: dict[str, np.ndarray]) -> tuple[str, float]:
    """(the candidate to keep, its mean gain over the common model on cases that it has not seen).

    Args:
        scores: (candidates, patients) of each held-out part, in the order of CANDIDATES.
    """
    parts = [part for part in scores.values() if part.size]
    if not parts:
        return COMMON, 0.0
    table = np.concatenate(parts, axis=1)
    patients = table.shape[1]
    if patients < LEAST_PATIENTS:
        return COMMON, 0.0
    best, best_bound, best_gain = COMMON, 0.0, 0.0
    for candidate, row in zip(CANDIDATES[1:], table[1:], strict=True):
        gains = row - table[0]
        gain, error = float(gains.mean()), float(gains.std(ddof=1)) / math.sqrt(patients)
        if gain > LEAST_GAIN and gain - error > best_bound:
            best, best_bound, best_gain = candidate, gain - error, gain
    return best, best_gain


def _score(site: LocalSite, candidates: dict[str, Weights], cases: Sequence[CachedCase]) -> np.ndarray:
    """(candidates, patients) mean Dice on cases."""
    rows = []
    for name in CANDIDATES:
        site.trainer.set_weights(candidates[name])
        by_patient: dict[str, list[float]] = defaultdict(list)
        for score in site.trainer.evaluation.score(cases) if cases else ():
            by_patient[score.patient].append(float(np.mean(list(score.dice.values()))))
        rows.append([float(np.mean(own)) for _, own in sorted(by_patient.items())])
    return np.array(rows).reshape(len(CANDIDATES), -1)
