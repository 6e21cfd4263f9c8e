"""Phantoms as company: of the patches that a site trains on, a share is of phantoms, drawn in memory when needed.

They are no patient's, so that they cost no privacy, and they show kinds of tumour that a site has never seen. A phantom
stays for some patches: to draw one takes as long as some steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedbrats.data.prepare.cache import CachedCase

if TYPE_CHECKING:
    from fedbrats.data.phantom.stream import PhantomStream

PATCHES_EACH = 8
OTHER_SPACING_MM = 2.0  # where the cases of a site have no voxel size in common
_OWN_SEED = 0x70686  # so that phantoms do not follow the numbers that batches are drawn with


class Company:
    """The phantoms among the patches of a site; which one follows from the seed, the round and its place there.

    Args:
        share: of the patches, below 1; they are spread evenly.
        spacing_mm: of the cases, which the phantoms get too.
    """

    def __init__(self, share: float, seed: int, spacing_mm: float | None) -> None:
        self._share = share
        self._seed = seed
        self._spacing_mm = spacing_mm or OTHER_SPACING_MM
        self._stream: PhantomStream | None = None
        self._latest: tuple[tuple[int, int], CachedCase] | None = None

    def before(self, place: int) -> int:
        """How many of the first `place` patches of a round are of phantoms."""
        return int(place * self._share + 1e-9)

    def phantom(self, round_number: int, number: int) -> CachedCase:
        """The phantom that the patch `number` of phantoms in a round is of, as a prepared case in memory."""
        key = (round_number, number // PATCHES_EACH)
        if self._latest is None or self._latest[0] != key:
            self._latest = (key, self._draw(*key))
        return self._latest[1]

    def _draw(self, round_number: int, number: int) -> CachedCase:
        if self._stream is None:
            from fedbrats.data.phantom.stream import PhantomStream

            self._stream = PhantomStream(self._seed ^ _OWN_SEED, PATCHES_EACH, spacing_mm=self._spacing_mm)
        return self._stream.draw_one(round_number, number)
