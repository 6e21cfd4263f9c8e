"""Weights that sum to one and stay within their bounds, in the proportions asked for as far as the bounds allow."""

from __future__ import annotations

import numpy as np


def project(wanted: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """clip(k * wanted, low, high) with the one k for which the sum is 1; all (K,).

    This is the projection in relative entropy: sites away from their bounds keep their proportions. `wanted` is
    positive and 0 <= low <= high, with sum(low) <= 1 <= sum(high). The sum grows with k and bends only where a site
    meets a bound, so k lies between two neighbouring bends and is found there without iteration.
    """
    bends = np.sort(np.concatenate([low / wanted, high / wanted]))
    sums = np.array([np.clip(bend * wanted, low, high).sum() for bend in bends])
    right = min(int(np.searchsorted(sums, 1.0)), len(bends) - 1)
    left = max(right - 1, 0)
    rise = sums[right] - sums[left]
    step = (1.0 - sums[left]) / rise if rise > 0.0 else 1.0
    k = bends[left] + min(max(step, 0.0), 1.0) * (bends[right] - bends[left])
    weights = np.clip(k * wanted, low, high)
    return weights / weights.sum()
