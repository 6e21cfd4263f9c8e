"""Updates as whole numbers modulo 2^32, which add up without rounding and leave nothing to see under a uniform pad."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fedbrats.errors import UpdateError

HALF = 2**31
MOST_BITS = 40
Ring = NDArray[np.uint32]


def bits_for(largest: float, sites: int) -> int:
    """Fractional bits with which the sum of so many numbers, each at most `largest`, stays inside the ring.

    Raises: UpdateError for a bound that is no number above 0.
    """
    if not (math.isfinite(largest) and largest > 0 and sites > 0):
        raise UpdateError(f"a sum of {sites} updates with the bound {largest} has no place in the ring")
    return min(MOST_BITS, math.floor(math.log2((HALF - sites) / (sites * largest))))


def to_ring(numbers: NDArray[np.floating], coefficient: float, bits: int, sites: int) -> Ring:
    """round(coefficient * numbers * 2^bits) modulo 2^32.

    Raises: UpdateError where a number is not finite, or the sum of as many such sites could overflow.
    """
    scaled = np.multiply(numbers, coefficient, dtype=np.float64)
    np.rint(np.multiply(scaled, 2.0**bits, out=scaled), out=scaled)
    largest = max(float(scaled.max(initial=0.0)), -float(scaled.min(initial=0.0)))
    if not largest * sites < HALF:
        raise UpdateError(
            f"the update does not fit: {sites} of its size would overflow the ring of 2^32 at {bits} bits; it is "
            f"longer than was offered"
        )
    return scaled.astype(np.int32).view(np.uint32)


def from_ring(total: Ring, bits: int) -> NDArray[np.float64]:
    """The numbers of a sum."""
    return total.view(np.int32).astype(np.float64) * 2.0**-bits
