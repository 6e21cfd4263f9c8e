"""Each site keeps the model that serves its own patients best: the common one, one fitted to its cases, or their mean.

In the personal rounds at the end of a job a site fits the common model to its cases. What it keeps depends on how many
training patients it has.

- **Below LEAST_PATIENTS** it spends all personal rounds on one fit, and keeps that. It cannot find out which model is
  better: a fit without half of so few patients is another model than the fit with all of them, and the common model has
  seen every one of them. Hospitals of this size lose most by the common model where their patients are of another kind,
  since they weigh least in it (docs/results/tuning.md).
- **From there on** it fits three times, for as many rounds each: without one half of its patients, without the other
  half, and with all of them. Each half is scored by the fit that has not seen it, so that every patient has a score of
  every candidate. PRIOR_PATIENTS who gain PRIOR_GAINS are added to them, because the common model has seen the held-out
  cases, which is in its favour. The candidate with the largest mean gain stays.

A fit that is worse than the common model even on the cases that it was fitted to has failed, and is never kept.

The learning rate falls to zero at the end of the shared rounds. In every fit it falls once more, from half of its
largest value.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from fedbrats.site.hooks.hook import SiteHook
from fedbrats.site.hooks.personal_layers import PersonalLayers
from fedbrats.site.task import RoundTask, Weights

if TYPE_CHECKING:
    from fedbrats.data.prepare.cache import CachedCase
    from fedbrats.model.training.trainer import TrainOutcome
    from fedbrats.site.local_site import LocalSite

FITS = 3  # without either half, and with all; at a site of few patients one
COMMON, HALFWAY, FITTED = "common", "halfway", "fitted"
CANDIDATES = (COMMON, HALFWAY, FITTED)
PRIOR_GAINS = (0.0, 0.02, 0.02)  # of the candidates over the common model, mean Dice
PRIOR_PATIENTS = 4
LEAST_PATIENTS = 6  # of a site that can choose by its own patients
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
        if number in self._first_rounds(site):
            site.trainer.optimisation.reset()
            return self._common or weights
        return weights

    def train(
        self, site: LocalSite, task: RoundTask, hooks: Sequence[SiteHook], should_stop: Callable[[], bool]
    ) -> TrainOutcome | None:
        """A shared round, or one of a fit; at the end of the fits it scores, and then chooses."""
        number = self._number(task)
        train = partial(site.trainer.train_round, hooks=hooks, should_stop=should_stop)
        if number < 0 or self._common is None:
            shared = task.total_rounds - self._personal_rounds
            return train(task.round_number, shared, repeat=task.repeat)
        firsts, all_cases = self._first_rounds(site), site.trainer.training
        fit = sum(number >= first for first in firsts) - 1
        begins, end = firsts[fit], [*firsts, self._personal_rounds][fit + 1]
        held_out = halve(all_cases)[fit] if fit < len(firsts) - 1 else []
        if held_out:
            site.trainer.use_cases([case for case in all_cases if not any(case is each for each in held_out)])
        try:
            # The second half of a schedule, and batches of its own: shared rounds have the same numbers.
            outcome = train(number - begins + end - begins, 2 * (end - begins), repeat=1 + fit)
        finally:
            site.trainer.use_cases(all_cases)
        if not should_stop() and number + 1 == end:
            fitted = site.trainer.get_weights()
            if held_out:
                self._scores[str(fit)] = score(site, make_candidates(self._common, fitted), held_out)
            else:
                self._choose(site, fitted)
            site.trainer.set_weights(fitted)
        return outcome

    def _choose(self, site: LocalSite, fitted: Weights) -> None:
        """Take the candidate that the scores are for, unless it is worse on the very cases that it was fitted to."""
        assert self._common is not None
        candidates = make_candidates(self._common, fitted)
        choice, gain = choose(self._scores)
        if choice != COMMON:
            tried = {name: candidates[name] for name in (COMMON, choice)}
            common, chosen = score(site, tried, site.trainer.training).mean(axis=1)
            if chosen < common:
                choice, gain = COMMON, 0.0
        logger.info("the site keeps one of its models; model=%s gain=%.4f site=%s", choice, gain, site.name)
        self._chosen = candidates[choice]

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

    def _first_rounds(self, site: LocalSite) -> list[int]:
        """Of each fit; rounds that are left over go to the last one."""
        fits = FITS if can_choose(site.trainer.training) else 1
        return [fit * (self._personal_rounds // fits) for fit in range(fits)]


def can_choose(cases: Sequence[CachedCase]) -> bool:
    """Whether a site has the patients to choose by."""
    return len({case.patient for case in cases}) >= LEAST_PATIENTS


def halve(cases: Sequence[CachedCase]) -> list[list[CachedCase]]:
    """Two halves of the training cases, by patient."""
    patients = sorted({case.patient for case in cases})
    return [[case for case in cases if case.patient in patients[number::2]] for number in range(2)]


def make_candidates(common: Weights, fitted: Weights) -> dict[str, Weights]:
    """Every model that a site could keep, by name; halfway is the mean of the other two, weight by weight."""
    halfway = {
        name: ((np.asarray(value, np.float64) + fitted[name]) / 2).astype(value.dtype) for name, value in common.items()
    }
    return {COMMON: common, HALFWAY: halfway, FITTED: fitted}


def choose(scores: Mapping[str, np.ndarray]) -> tuple[str, float]:
    """(the candidate to keep, its gain over the common model, the prior patients counted in).

    Args:
        scores: (candidates, patients) of each held-out half, in the order of CANDIDATES; empty at a site that has too
            few patients to choose by, or was away while both halves were scored.
    """
    if not scores:
        return FITTED, PRIOR_GAINS[CANDIDATES.index(FITTED)]
    table = np.concatenate(list(scores.values()), axis=1)
    own = (table - table[:1]).sum(axis=1)
    gains = (own + PRIOR_PATIENTS * np.array(PRIOR_GAINS)) / (table.shape[1] + PRIOR_PATIENTS)
    best = int(np.argmax(gains))
    return CANDIDATES[best], float(gains[best])


def score(site: LocalSite, models: Mapping[str, Weights], cases: Sequence[CachedCase]) -> np.ndarray:
    """(models, patients) mean Dice on cases."""
    rows = []
    for weights in models.values():
        site.trainer.set_weights(weights)
        by_patient: dict[str, list[float]] = defaultdict(list)
        for each in site.trainer.evaluation.score(cases):
            by_patient[each.patient].append(float(np.mean(list(each.dice.values()))))
        rows.append([float(np.mean(own)) for _, own in sorted(by_patient.items())])
    return np.array(rows).reshape(len(models), -1)
