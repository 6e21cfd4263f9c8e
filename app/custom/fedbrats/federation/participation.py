"""When a round has enough answers: how many sites and cases it needs, and how long it waits for the rest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from pydantic import Field

from fedbrats.settings import Settings

FIRST_PAUSE_S = 10.0


class Participation(Settings):
    """The rule of a job."""

    min_clients: int = Field(2, ge=1, le=10_000)
    """How many sites must be counted in a round."""
    min_case_share: float = Field(0.5, ge=0, le=1)
    """The share of the registered cases of the job's sites that the counted sites must hold."""
    first_deadline_s: float = Field(3600.0, ge=0.001, le=1e8)
    """Seconds to wait for a site whose speed is not known yet (it prepares its cases first); no round waits longer."""
    deadline_factor: float = Field(3.0, ge=1, le=1e4)
    """From the second round on, how many times the slowest site's own measured time to wait."""
    deadline_floor_s: float = Field(300.0, ge=0, le=1e8)
    """Seconds to wait at least, as a short round is easily late."""
    attempts: int = Field(3, ge=1, le=1000)
    """How often a round that lacks sites or cases waits and asks again before the job ends."""

    def deadline_s(self, sites: Iterable[str], seconds: Mapping[str, float]) -> float:
        """How long a round of these sites may take; `seconds` holds how long each of them has lately taken."""
        sites = list(sites)
        if not sites or any(site not in seconds for site in sites):
            return self.first_deadline_s
        measured = max(self.deadline_floor_s, self.deadline_factor * max(seconds[site] for site in sites))
        return min(measured, self.longest_s)

    def pause_s(self, attempt: int) -> float:
        """How long to wait after a failed attempt that was over at once, before the same sites are asked again.

        10 s, then twice as long each time, at most deadline_floor_s. A disk that is full or a GPU that others hold
        fails within a second, and is seldom well again within the next. attempt: counts from 1.
        """
        return min(self.deadline_floor_s, FIRST_PAUSE_S * 2.0 ** (attempt - 1))

    @property
    def longest_s(self) -> float:
        """No round waits longer: a site that answers at the end of each deadline must not draw out the next."""
        return max(self.first_deadline_s, self.deadline_floor_s)

    @property
    def longest_round_s(self) -> float:
        """No round takes longer, pauses included, whatever sites do."""
        return self.attempts * self.longest_s + sum(map(self.pause_s, range(1, self.attempts)))

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
