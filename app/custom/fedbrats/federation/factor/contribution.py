"""The Contribution Factor: how much each hospital's update counts, from its cases, its alignment and its usefulness.

`weigh` is one round of it, a pure function from updates and memory to weights and memory.
docs/reference/contribution.md states the definition in words, shows what it does with bad hospitals, and says what it
cannot see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedbrats.federation.factor import quarantine
from fedbrats.federation.factor.evidence import share_votes
from fedbrats.federation.factor.memory import Memory, SiteMemory
from fedbrats.federation.factor.projection import project
from fedbrats.federation.factor.round_view import RoundView, view_round
from fedbrats.federation.factor.settings import FactorSettings
from fedbrats.federation.factor.similarity import gram, sketched_gram
from fedbrats.federation.gates import Contribution

__all__ = ["FactorSettings", "Memory", "SiteMemory", "SiteTrace", "weigh"]


@dataclass(frozen=True)
class SiteTrace:
    """Why one site weighs what it weighs in one round; for the server only.

    `usefulness` is as counted, None where there was none; `influence` is the coefficient with which the update, as the
    site sent it, enters the model: its weight times what clipping left of its length.
    """

    site: str
    prior: float
    alignment: float
    coherence: float
    relative_length: float
    usefulness: float | None
    factor: float
    weight: float
    influence: float
    clipped: bool
    quarantined: bool
    reason: str


def weigh(
    contributions: Sequence[Contribution],
    memory: Memory,
    round_number: int,
    settings: FactorSettings,
    min_clients: int = 1,
    *,
    weight_power: float = 1.0,
) -> tuple[dict[str, float], list[SiteTrace], Memory]:
    """(weight of each site, one trace a site, the memory after this round), sites in sorted order.

    `contributions` have passed their gates. Without any there are no weights, and the model stays as it is. Sites that
    did not answer keep their memory. Round 0 starts a federation: it forgets what came before, and every weight is the
    site's prior, which is FedAvg's weight where no site is a copy of another. A round that is weighed again, after a
    restart say, gives the same weights and memory again.
    """
    answers = sorted(contributions, key=lambda each: each.site)
    if not answers:
        return {}, [], memory
    past = memory.before(round_number)
    before = [past.get(each.site, SiteMemory()) for each in answers]
    cosines, lengths = (sketched_gram if settings.sketched else gram)([each.update for each in answers])
    view = view_round(answers, before, cosines, lengths, settings, weight_power)
    learned = [_learn(site, view, i, settings) for i, site in enumerate(before)]
    after = quarantine.decide(learned, view, settings, min_clients)
    factors = np.array([_factor(old, new, settings) for old, new in zip(before, after, strict=True)])
    weights = _weights(view, factors, np.array([not site.quarantined for site in after]), settings)
    prior = share_votes(view.mass, view.copies, np.full(len(answers), True))
    traces = [
        SiteTrace(
            site=answer.site,
            prior=float(prior[i]),
            alignment=float(view.alignment[i]),
            coherence=view.coherence,
            relative_length=float(view.relative_length[i]),
            usefulness=None if math.isnan(view.usefulness[i]) else float(view.usefulness[i]),
            factor=float(factors[i]),
            weight=float(weights[i]),
            influence=float(weights[i]) * answer.clip_scale,
            clipped=answer.clip_scale < 1.0,
            quarantined=after[i].quarantined,
            reason=_reason(answer, before[i], after[i], view, i),
        )
        for i, answer in enumerate(answers)
    ]
    records = {answer.site: site for answer, site in zip(answers, after, strict=True)}
    return {trace.site: trace.weight for trace in traces}, traces, Memory({**past, **records}, past, round_number)


def _learn(site: SiteMemory, view: RoundView, i: int, settings: FactorSettings) -> SiteMemory:
    """The site's record after this round, before quarantine is decided."""
    gain = 1.0 - settings.memory
    weight = gain * view.coherence * float(view.relative_length[i])
    alignment = site.alignment + weight * (view.alignment_evidence[i] - site.alignment)
    usefulness = site.usefulness
    if not math.isnan(view.usefulness[i]):
        usefulness += gain * (view.usefulness_evidence[i] - usefulness)
    site = replace(
        site,
        alignment=float(alignment),
        usefulness=float(usefulness),
        farthest=float(view.farthest[i]),
        rounds=site.rounds + 1,
    )
    if view.coherence < settings.coherent:
        return site
    return quarantine.add_round(
        replace(site, coherent_rounds=site.coherent_rounds + 1),
        distance=(view.usual_alignment * float(view.relative_length[i])) ** 2,
        alignment=float(view.alignment[i]),
        settings=settings,
    )


def _factor(before: SiteMemory, after: SiteMemory, settings: FactorSettings) -> float:
    """exp(alignment + usefulness) within its bounds; 1 at a site's first answer."""
    if before.rounds == 0:
        return 1.0
    return min(settings.largest_factor, max(settings.smallest_factor, math.exp(after.alignment + after.usefulness)))


def _weights(view: RoundView, factors: np.ndarray, active: np.ndarray, settings: FactorSettings) -> np.ndarray:
    """The prior times the factor, within the bounds of one site's weight; 0 for sites in quarantine."""
    prior = share_votes(view.mass, view.copies, active)
    together = (view.copies @ prior)[active]  # what a site and its copies have
    prior = prior[active]
    largest = max(settings.largest_weight, float(together.max()))
    weights = np.zeros(len(active))
    weights[active] = project(
        prior * factors[active], low=settings.smallest_share * prior, high=largest * prior / together
    )
    return weights


def _reason(answer: Contribution, before: SiteMemory, after: SiteMemory, view: RoundView, i: int) -> str:
    """What is special about this site in this round, in a few words; empty where nothing is."""
    remarks = [
        (after.quarantined, "in quarantine: its updates are not aligned with those of the other sites"),
        (before.rounds == 0, "first answer: counted at its prior"),
        (view.copies[i].sum() > 1, "a copy: shares one vote"),
        (answer.usefulness is not None and math.isnan(view.usefulness[i]), "usefulness is not a number: left out"),
    ]
    return "; ".join(text for applies, text in remarks if applies)
