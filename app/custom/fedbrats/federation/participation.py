"""When a round counts: how many sites and cases it needs, and how long it waits for the rest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fedbrats.errors import ConfigurationError

FIRST_PAUSE_S = 10.0


@dataclass(frozen=True)
class Participation:
    """The rule of a job.

    min_clients: how many sites must be counted.
    min_case_share: the share of the registered cases of the job's sites that the counted sites must hold.
    first_deadline_s: how long to wait for a site whose speed is not known yet; it prepares its cases first.
        No round waits longer: a site that answers at the end of each deadline must not draw out the next.
    deadline_factor: from then on, how many times the slowest site's own measured time to wait.
    deadline_floor_s: but never less than this, for a short round is easily late.
    attempts: how often a round that is not met waits anew, and asks anew who failed, before the job ends. Between two
        attempts lie 10 s, then twice as long each time, at most deadline_floor_s, unless a deadline was waited for.
    """

    min_clients: int = 2
    min_case_share: float = 0.5
    first_deadline_s: float = 3600.0
    deadline_factor: float = 3.0
    deadline_floor_s: float = 300.0
    attempts: int = 3

    def __post_init__(self) -> None:
        limits = {
            "min_clients": (1, 1e6),
            "min_case_share": (0, 1),
            "first_deadline_s": (0, 1e8),
            "deadline_factor": (1, 1e6),
            "deadline_floor_s": (0, 1e8),
            "attempts": (1, 1000),
        }
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise ConfigurationError(f"{name} is {getattr(self, name)}, expected {least:g} to {most:g}")

    def deadline_s(self, sites: Iterable[str], seconds: Mapping[str, float]) -> float:
        """How long a round of these sites may take; `seconds` holds how long each of them has lately taken."""
        sites = list(sites)
        if not sites or any(site not in seconds for site in sites):
            return self.first_deadline_s
        measured = max(self.deadline_floor_s, self.deadline_factor * max(seconds[site] for site in sites))
        return min(measured, self.longest_s)

    def pause_s(self, attempt: int) -> float:
        """How long to wait after a failed attempt that was over at once, before the same sites are asked again.

        attempt: counts from 1. A disk that is full or a GPU that others hold fails within a second, and is seldom well
        again within the next.
        """
        return min(self.deadline_floor_s, FIRST_PAUSE_S * 2.0 ** (attempt - 1))

    @property
    def longest_s(self) -> float:
        """No round waits longer."""
        return max(self.first_deadline_s, self.deadline_floor_s)

    def shortfall(self, counted: Mapping[str, int], known: Mapping[str, int]) -> str | None:
        """What the round lacks, as a clause; None where the rule is met.

        counted: the cases of each site that is counted; known: those of every site that the job is for.
        """
        if len(counted) < self.min_clients:
            return f"{len(counted)} of at least {self.min_clients} sites are counted"
        share = case_share(counted, known)
        if share < self.min_case_share:
            return (
                f"the counted sites hold {share:.0%} of the cases, and at least {self.min_case_share:.0%} are asked for"
            )
        return None


def case_share(counted: Mapping[str, int], known: Mapping[str, int]) -> float:
    """The share of all known cases that the counted sites hold.

    A site counts with what is known of it, on both sides: it may train on fewer cases than it has registered. One that
    nobody knows counts with what it reports.
    """
    everyone = {**counted, **known}
    total = math.fsum(everyone.values())
    return math.fsum(everyone[site] for site in counted) / total if total else 0.0
