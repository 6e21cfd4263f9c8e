"""Phantoms without end: new ones for every round, drawn in processes of their own and never twice."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from fedbrats.data.box import box_of
from fedbrats.data.phantom.variety import SPACING_MM, Variety, draw_variety
from fedbrats.data.prepare.cache import CachedCase
from fedbrats.data.prepare.preparation import Geometry


@dataclass(frozen=True)
class PhantomStream:
    """Which phantoms are drawn: those of a round follow from the seed and the round's number alone.

    Attributes:
        seed: of all phantoms.
        cases: how many a round.
        variety: which kinds of variation are drawn.
        spacing_mm: of their voxels.
    """

    seed: int
    cases: int
    variety: Variety = field(default_factory=Variety)
    spacing_mm: float = SPACING_MM

    def draw(self, round_number: int) -> list[CachedCase]:
        """The phantoms of one round, in memory, as prepared cases."""
        return [self.draw_one(round_number, number) for number in range(self.cases)]

    def draw_one(self, round_number: int, number: int) -> CachedCase:
        """One phantom of a round, in memory, as a prepared case."""
        rng = np.random.default_rng([self.seed, round_number, number])
        image, mask = draw_variety(rng, self.variety, self.spacing_mm)
        shown = (image != 0).any(axis=0)
        sides = box_of(shown)
        kept, box = (slice(None), *sides), tuple((side.start, side.stop) for side in sides)
        size = self.spacing_mm
        affine = tuple(tuple(row) for row in np.diag([-size, -size, size, 1.0]).tolist())
        geometry = Geometry(affine, shown.shape, (1.0, 1.0, 1.0), box)  # type: ignore[arg-type]
        name = f"phantom-{self.seed}-{round_number}-{number}"
        return CachedCase(name, name, image[kept].astype(np.float16), np.ascontiguousarray(mask[kept]), geometry)


@contextmanager
def drawn_ahead(stream: PhantomStream, rounds: int, workers: int) -> Iterator[Iterator[list[CachedCase]]]:
    """The phantoms of rounds 0 to `rounds` - 1, drawn by `workers` processes while the round before is trained."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        try:
            yield _in_order(stream, rounds, workers, pool)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _in_order(
    stream: PhantomStream, rounds: int, workers: int, pool: ProcessPoolExecutor
) -> Iterator[list[CachedCase]]:
    ahead: dict[int, Future[list[CachedCase]]] = {}
    for number in range(rounds):
        for upcoming in range(number, min(number + workers + 1, rounds)):
            if upcoming not in ahead:
                ahead[upcoming] = pool.submit(stream.draw, upcoming)
        yield ahead.pop(number).result()
