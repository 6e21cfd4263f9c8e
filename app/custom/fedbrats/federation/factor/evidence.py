"""What one round says about each site: copies, prior, alignment, coherence, and robust scores between sites.

All arrays are (K,), one number a site, sites in sorted order; G is the (K, K) matrix of cosines between updates.
"""

from __future__ import annotations

import numpy as np

_ROUNDING = 1e-6  # two cosines closer than this are equal
_MAD_TO_DEVIATION = 1.4826  # a normal distribution's standard deviation over its median absolute deviation


def find_copies(G: np.ndarray, threshold: float, ratio: float) -> np.ndarray:
    """(K, K) booleans: whose updates are copies of whose (each of itself).

    Copies have a cosine above `threshold` and are far closer (by `ratio`) to each other than sites usually are in this
    round: early in training honest updates may all lie above any fixed threshold, and a majority must not share a vote.
    """
    distance = 1.0 - G
    pairs = distance[np.triu_indices(len(G), 1)]
    usual = float(np.median(pairs)) if pairs.size else 0.0
    near = distance <= max(_ROUNDING, min(1.0 - threshold, ratio * usual))
    for _ in range(len(G)):  # a copy of a copy is a copy
        near = near @ near
    return near


def share_votes(cases: np.ndarray, copies: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """Prior weights (sum 1), 0 for who is not heard: by cases, where copies share the vote of the largest of them."""
    cases = np.where(heard, cases, 0.0)
    together = copies @ cases
    largest = (copies * cases).max(axis=1)
    votes = np.divide(cases * largest, together, out=np.zeros(len(cases)), where=together > 0.0)
    return votes / votes.sum()


def find_majority(G: np.ndarray, votes: np.ndarray) -> np.ndarray:
    """(K,) booleans: who has a positive cosine with most sites, itself included; all who vote where those are few.

    The mean of all others is no guide where two of five sites work against the rest: it all but cancels.
    """
    along = np.array([weighted_median(row, votes) > 0.0 for row in G]) & (votes > 0.0)
    return along if votes[along].sum() > votes.sum() / 2.0 else votes > 0.0


def align(G: np.ndarray, prior: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """The cosine of each site's direction with the prior-weighted mean direction of the others, its copies left out.

    Zero where there is nobody else, or where the others cancel.
    """
    alignment = np.zeros(len(G))
    for i in range(len(G)):
        others = np.where(copies[i], 0.0, prior)
        length_squared = float(others @ G @ others)
        if length_squared > _ROUNDING * float(others.sum()) ** 2:
            alignment[i] = np.clip(G[i] @ others / np.sqrt(length_squared), -1.0, 1.0)
    return alignment


def median_of_others(values: np.ndarray, votes: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """(K,) for each site the median of the others' values, its copies left out; 1 where there is nobody else."""
    medians = np.ones(len(values))
    for i in range(len(values)):
        others = np.where(copies[i], 0.0, votes)
        if others.any():
            medians[i] = weighted_median(values, others)
    return medians


def robust_scores(values: np.ndarray, votes: np.ndarray, smallest_deviation: float) -> np.ndarray:
    """(value - median) / max(deviation, smallest_deviation), the deviation from the median absolute deviation.

    Both medians count votes, so that copies cannot move them. NaN values are no evidence: they score 0 and do not vote.
    """
    voting = np.isfinite(values) & (votes > 0.0)
    if not voting.any():
        return np.zeros(len(values))
    middle = weighted_median(values[voting], votes[voting])
    spread = _MAD_TO_DEVIATION * weighted_median(np.abs(values[voting] - middle), votes[voting])
    return np.nan_to_num((values - middle) / max(spread, smallest_deviation), nan=0.0)


def log_evidence(scores: np.ndarray, least: float) -> np.ndarray:
    """log(2 sigmoid(s)) of the softened score s = z^3 / (1 + z^2): 0 at the median, at most log 2, about z below it,
    but not below `least`: one round says no more, however alike the other sites are.

    Softening keeps the order of sites but takes little notice of differences of a deviation or less: that is by how
    much honest sites differ, and weights that follow it average worse than weights by cases.
    """
    softened = scores**3 / (1.0 + scores**2)
    return np.maximum(least, np.log(2.0) - np.logaddexp(0.0, -softened))


def weighted_median(values: np.ndarray, votes: np.ndarray) -> float:
    """The value at which half of the votes are reached; the mean of two neighbours where it falls between them."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(votes[order])
    half = reached[-1] / 2.0
    lower = order[int(np.argmax(reached >= half - _ROUNDING * half))]
    upper = order[int(np.argmax(reached > half + _ROUNDING * half))]
    return float(values[lower] + values[upper]) / 2.0
