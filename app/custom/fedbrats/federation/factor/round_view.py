"""What the server sees of all sites in one round, before it remembers or decides anything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedbrats.federation.factor import evidence
from fedbrats.federation.factor.memory import SiteMemory
from fedbrats.federation.factor.settings import FactorSettings
from fedbrats.federation.gates import Contribution


@dataclass(frozen=True)
class RoundView:
    """Arrays are (K,), one number a site in sorted order; `copies` is (K, K)."""

    cases: np.ndarray
    mass: np.ndarray  # cases to the power that weights go by
    copies: np.ndarray
    votes: np.ndarray  # one a site for every median, shared among copies, none in quarantine
    alignment: np.ndarray
    coherence: float
    alignment_evidence: np.ndarray
    usefulness: np.ndarray  # NaN where there is none
    usefulness_evidence: np.ndarray
    usual_alignment: float  # the median site's
    farthest: np.ndarray  # the length of each site's longest update so far
    relative_length: np.ndarray  # the other sites' updates beside their longest so far: 1 in early rounds, then less


def view_round(
    answers: Sequence[Contribution],
    records: Sequence[SiteMemory],
    cosines: np.ndarray,
    lengths: np.ndarray,
    settings: FactorSettings,
    weight_power: float,
) -> RoundView:
    """The view of the sites that are not in quarantine: their medians judge everybody."""
    copies = evidence.find_copies(cosines, settings.copy_threshold, settings.copy_ratio)
    cases = np.array([float(each.cases) for each in answers])
    mass = cases**weight_power
    trusted = np.array([not record.quarantined for record in records])
    if not trusted.any():
        trusted[:] = True
    votes = trusted / np.maximum(1, copies @ trusted.astype(int))
    majority = evidence.find_majority(cosines, votes)
    alignment = evidence.align(cosines, evidence.share_votes(mass, copies, majority), copies)
    usefulness = np.array([_usefulness(each, settings) for each in answers])
    alignment_scores = evidence.robust_scores(alignment, votes, settings.alignment_deviation)
    usefulness_scores = evidence.robust_scores(usefulness, votes, settings.usefulness_deviation)
    usual = evidence.weighted_median(alignment, votes)
    as_sent = lengths / np.array([each.clip_scale for each in answers])
    farthest = np.maximum(as_sent, [record.farthest for record in records])
    return RoundView(
        cases=cases,
        mass=mass,
        copies=copies,
        votes=votes,
        alignment=alignment,
        coherence=float(np.clip(usual / settings.coherence_scale, 0.0, 1.0)),
        alignment_evidence=evidence.log_evidence(alignment_scores, settings.least_evidence),
        usefulness=usefulness,
        usefulness_evidence=evidence.log_evidence(usefulness_scores, settings.least_evidence),
        usual_alignment=usual,
        farthest=farthest,
        relative_length=evidence.median_of_others(as_sent / farthest, votes, copies),
    )


def _usefulness(answer: Contribution, settings: FactorSettings) -> float:
    if answer.usefulness is None or not math.isfinite(answer.usefulness):
        return math.nan
    return min(settings.usefulness_limit, max(-settings.usefulness_limit, float(answer.usefulness)))
