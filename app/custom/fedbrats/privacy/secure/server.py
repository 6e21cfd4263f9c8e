"""The server's side of a padded round: it adds what it cannot read, and checks the sum against what was offered."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedbrats.privacy.secure.keys import ProtocolError
from fedbrats.privacy.secure.messages import Padded, PadRequest, Reveal
from fedbrats.privacy.secure.pads import SEED_BYTES, pad_of
from fedbrats.privacy.secure.ring import bits_for, from_ring

LONGEST = 1.1  # times what the sketch says: the length of a sum that hides nothing from its sketch


def request_for(
    job: str, round_number: int, attempt: int, coefficients: Mapping[str, float], lengths: Mapping[str, float]
) -> PadRequest:
    """The request for a sum, with as many bits as the offered lengths leave room for.

    Args:
        coefficients: the weight of each update as it was sent, from 0 to 1.
        lengths: Euclidean, as offered.
    """
    largest = max(coefficients[site] * lengths[site] for site in coefficients)
    bits = bits_for(largest, len(coefficients))
    return PadRequest(job, round_number, attempt, dict(coefficients), bits)


class PaddedSum:
    """One attempt of a round at the server; holds one array, however many sites answer.

    Args:
        length: of an update.
        sites: how many the job has.
    """

    def __init__(self, request: PadRequest, length: int, sites: int) -> None:
        self.request = request
        self._sites = sites
        self._total = np.zeros(length, np.uint32)
        self._members: set[str] = set()
        self._closed = False

    @property
    def members(self) -> tuple[str, ...]:
        """Whose answers are in the sum."""
        return tuple(sorted(self._members))

    def take(self, answer: Padded) -> None:
        """Add an answer. Raises: ProtocolError for one that is late, twice, of another attempt, or no such array."""
        asked = self.request
        if self._closed:
            raise ProtocolError(f"the answer of {answer.site} came after the set was closed, and is not counted")
        if answer.site not in asked.coefficients or answer.site in self._members:
            raise ProtocolError(f"{answer.site} was not asked, or has answered already")
        if (answer.round, answer.attempt) != (asked.round, asked.attempt):
            raise ProtocolError(f"{answer.site} answers round {answer.round}, attempt {answer.attempt}")
        if answer.numbers.dtype != np.uint32 or answer.numbers.shape != self._total.shape:
            raise ProtocolError(f"{answer.site} sends no array of {len(self._total)} numbers of 32 bits")
        self._total += answer.numbers
        self._members.add(answer.site)

    def close(self) -> tuple[str, ...]:
        """Take no more answers; returns the set for its members to sign. Raises: ProtocolError for too few."""
        self._closed = True
        self.request.check_members(self._members, self._sites)
        return self.members

    def release(self, reveals: Mapping[str, Reveal]) -> NDArray[np.float64]:
        """The sum of coefficient * update over the members.

        Raises: ProtocolError where a member has revealed nothing: then nothing is known, and the round is repeated.
        """
        if missing := sorted(self._members - reveals.keys()):
            raise ProtocolError(
                f"{', '.join(missing)} answered and then took off no pad; the round is repeated on other batches"
            )
        absent = set(self.request.coefficients) - self._members
        total = self._total.copy()
        for site in self.members:
            reveal = reveals[site]
            seeds = (reveal.own, *reveal.pairs.values())
            if set(reveal.pairs) != absent or any(len(seed) != SEED_BYTES for seed in seeds):
                raise ProtocolError(f"{site} takes off other pads than it was asked for")
            total -= pad_of(reveal.own, len(total))
            for peer, seed in reveal.pairs.items():
                take_off = np.subtract if site < peer else np.add
                take_off(total, pad_of(seed, len(total)), out=total)
        return from_ring(total, self.request.bits)


def check_offers(
    request: PadRequest,
    members: tuple[str, ...],
    offered: Mapping[str, NDArray[np.floating]],
    found: NDArray[np.floating],
    length: float,
    numbers: int,
) -> None:
    """Refuse a sum that is not the sum of what was offered: somebody offered another sketch than it sent.

    A sketch is linear, so that of the sum is the sum of the sketches but for rounding. What a sketch does not see makes
    the sum longer than its sketch.

    Args:
        offered: the sketch of each member's update.
        found: the sketch of the sum.
        length: of the sum.
        numbers: in an update.

    Raises: ProtocolError.
    """
    expected = np.sum([request.coefficients[site] * offered[site].astype(np.float64) for site in members], axis=0)
    in_a_place = max(1.0, numbers / len(expected))
    rounding = 6 * 0.5 * len(members) * np.sqrt(in_a_place) * 2.0**-request.bits
    largest = max(float(np.abs(offered[site]).max(initial=0.0)) for site in members)
    if not np.abs(expected - found).max(initial=0.0) <= rounding + 1e-5 * largest:
        raise ProtocolError("the sum is not that of the offered updates: a site has sent another one than it offered")
    if not length <= LONGEST * float(np.linalg.norm(found)) + rounding * np.sqrt(numbers):
        raise ProtocolError("the sum is longer than its sketch: a site hides a part of its update from the sketch")
