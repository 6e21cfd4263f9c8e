"""Whether a global model has become worse, by what the sites' own validation says of it."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median


def drop(now: Mapping[str, float], good: Mapping[str, float]) -> float:
    """By how much the median site's score has fallen since the last good model; 0 where no site judged both.

    Sites that judged both models count, each once: neither a site that comes or goes nor one that lies about its score
    or its number of cases moves the median far.
    """
    both = now.keys() & good.keys()
    return max(0.0, median(good[site] - now[site] for site in both)) if both else 0.0
