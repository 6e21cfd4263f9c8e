"""What travels in a padded round, and the rules that every participant holds it to."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from fedbrats.errors import ConfigurationError
from fedbrats.privacy.secure.keys import ProtocolError, shares_of, state
from fedbrats.privacy.secure.ring import MOST_BITS, Ring

LEAST_SITES = 3
# Of a sum: with more, it is that site's update, and what two make up alone each of them can take apart.
MOST_OF_ONE, MOST_OF_TWO = 0.6, 0.9
_ROUNDING = 1e-9


class ShareError(ProtocolError):
    """A sum in which one site, or two, count for so much that it would tell an update."""


@dataclass(frozen=True)
class PadRequest:
    """The server's request for one attempt of a round; every site of `coefficients` gets the same.

    Attributes:
        coefficients: by site, from 0 to 1; those that are named pad against each other.
        bits: fractional bits, as of `ring.to_ring`.
    """

    job: str
    round: int
    attempt: int
    coefficients: Mapping[str, float]
    bits: int

    def statement(self, members: Collection[str]) -> bytes:
        """What every member signs: this request, and whose answers the server has."""
        return state(
            "sum",
            job=self.job,
            round=self.round,
            attempt=self.attempt,
            coefficients={site: float(value).hex() for site, value in self.coefficients.items()},
            bits=self.bits,
            members=sorted(members),
        )

    def check(self, job: str, sites: Collection[str]) -> None:
        """Raise ProtocolError where a site must not answer this."""
        if self.job != job:
            raise ProtocolError("the request is of another job")
        if unknown := sorted(set(self.coefficients) - set(sites)):
            raise ProtocolError(f"the request names {unknown[0]!r:.60}, which is not a site of this job")
        if not all(math.isfinite(value) and 0 <= value <= 1 for value in self.coefficients.values()):
            raise ProtocolError("the request has a coefficient that is not between 0 and 1")
        if not -MOST_BITS <= self.bits <= MOST_BITS:
            raise ProtocolError(f"the request asks for {self.bits} bits")
        self.check_members(self.coefficients, len(sites))

    def check_members(self, members: Collection[str], sites: int) -> None:
        """Raise ProtocolError where the sum over these members would tell of one of them."""
        least = threshold(sites)
        if len(set(members)) < least or not set(members) <= set(self.coefficients):
            raise ProtocolError(f"a sum over {len(set(members))} sites is asked for, and at least {least} are needed")
        check_shares(shares_of(self.coefficients, set(members)))


@dataclass(frozen=True)
class Padded:
    """A site's answer: its update in the ring, under pads."""

    site: str
    round: int
    attempt: int
    numbers: Ring


@dataclass(frozen=True)
class Reveal:
    """What takes the pads off a sum: the site's own, and those that it shares with sites whose answers are missing."""

    site: str
    own: bytes
    pairs: Mapping[str, bytes]


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise ShareError where a sum with these shares of its sites would tell an update, or has nothing in it."""
    if not shares:
        raise ShareError("in the sum that is asked for no site counts")
    largest = sorted(shares, key=lambda site: (-shares[site], site))
    for most, sites in ((MOST_OF_ONE, largest[:1]), (MOST_OF_TWO, largest[:2])):
        if (together := math.fsum(shares[site] for site in sites)) > most + _ROUNDING:
            count = "counts" if len(sites) == 1 else "together count"
            raise ShareError(
                f"{' and '.join(sites)} {count} for {together:.0%} of the sum that is asked for, more than {most:.0%}: "
                f"it would tell an update"
            )


def threshold(sites: int) -> int:
    """How many sites a sum is of at least: two thirds, and three."""
    return max(LEAST_SITES, math.ceil(2 * sites / 3))


def check_enough(sites: int) -> None:
    """Refuse a job of too few sites. Raises: ConfigurationError in one sentence."""
    if sites < LEAST_SITES:
        raise ConfigurationError(
            f"secure aggregation needs {LEAST_SITES} sites, and there are {sites}: a sum of two tells each the other's "
            f"update"
        )
