"""Who is in quarantine: sites whose updates have not been aligned with the others' over the distance moved so far.

One round cannot tell a bad site from an honest hospital with a strong domain shift: near the end the updates of both
may point against the others'. All rounds together can. A shifted hospital is aligned in the early rounds, which move
the model far, and not in the late ones, which move it little. A site with noise, flipped signs or wrong labels is never
aligned. So a site's alignment is averaged over rounds, each weighted by the distance that the model moved in it. The
distance of a round is the square of the median site's alignment: what the updates have in common.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fedbrats.federation.factor.evidence import weighted_median
from fedbrats.federation.factor.memory import SiteMemory
from fedbrats.federation.factor.round_view import RoundView
from fedbrats.federation.factor.settings import FactorSettings

_ROUNDING = 1e-9  # standings closer than this are equal


def add_round(site: SiteMemory, distance: float, alignment: float, settings: FactorSettings) -> SiteMemory:
    """The site's record after a coherent round.

    Old rounds are forgotten with the distance moved since, not with the number of rounds: late rounds that move the
    model little leave the record as it was.

    Args:
        site: the record before the round.
        distance: that the model moved in the round.
        alignment: of the site's update in the round.
        settings: of the factor.
    """
    keep = math.exp(-distance / settings.remembered_distance)
    return replace(
        site,
        distance=keep * site.distance + distance,
        aligned_distance=keep * site.aligned_distance + distance * alignment,
    )


def decide(
    sites: Sequence[SiteMemory], view: RoundView, settings: FactorSettings, min_clients: int
) -> list[SiteMemory]:
    """Mark who is in quarantine, the worst first, but leave `min_clients`, half of the sites and half of the cases."""
    standings = np.array([site.standing for site in sites])
    expected = weighted_median(standings, view.votes) * _expected_share(view)
    suspects = [i for i, site in enumerate(sites) if _is_suspect(site, expected[i], settings)]
    suspects.sort(key=lambda i: standings[i])
    room = _room(view.cases, suspects, min_clients)
    if room < len(suspects):  # of equals all are heard, not those whose names come first
        suspects = [i for i in suspects[:room] if standings[i] < standings[suspects[room]] - _ROUNDING]
    return [replace(site, quarantined=i in suspects) for i, site in enumerate(sites)]


def _room(cases: np.ndarray, suspects: Sequence[int], min_clients: int) -> int:
    """How many of the suspects, in this order, can be left out."""
    by_sites = len(cases) - max(min_clients, math.ceil(len(cases) / 2))
    by_cases = int(np.sum(np.cumsum(cases[suspects]) <= cases.sum() / 2.0)) if suspects else 0
    return max(0, min(by_sites, by_cases))


def _is_suspect(site: SiteMemory, expected: float, settings: FactorSettings) -> bool:
    share = settings.release_share if site.quarantined else settings.quarantine_share
    return site.coherent_rounds >= settings.quarantine_rounds and site.standing < share * expected


def _expected_share(view: RoundView) -> np.ndarray:
    """The standing that so few cases allow: where sampling noise rules, alignment goes with their square root."""
    return np.sqrt(np.minimum(1.0, view.cases / weighted_median(view.cases, view.votes)))
