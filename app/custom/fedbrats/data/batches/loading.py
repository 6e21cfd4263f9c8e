"""Batches for one local round: foreground-aware patches or whole volumes, augmented, read ahead by one thread."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.batches.augmentation import augment
from fedbrats.data.batches.company import Company
from fedbrats.data.batches.settings import Augmentation
from fedbrats.data.prepare.cache import CachedCase, RejectedCase, common_spacing
from fedbrats.data.prepare.soundness import BrokenCaseError, check_files, check_values
from fedbrats.errors import DataError

BATCHES_AHEAD = 2


@dataclass(frozen=True)
class Batch:
    """images float32 (B, 4, x, y, z), masks float32 (B, 3, x, y, z), and the numbers of the cases they are of.

    Phantoms are no cases: a batch of phantoms alone has no numbers.
    """

    images: NDArray[np.float32]
    masks: NDArray[np.float32]
    cases: tuple[int, ...]


class Loader:
    """Draws batches whose content depends on the seed, the round and the step alone, so a restart repeats them.

    A case that breaks while it is read is left out from then on: the next one of the round's order takes its place, and
    every other batch stays what it was. `rejected` says which and why.

    One thread reads ahead: numpy lets go of the interpreter while it copies, and several sites may share a machine, so
    no process is spent. `seconds_waiting` counts how long the consumer had to wait for it.

    Args:
        phantom_share: of the patches, this share is of phantoms: see `fedbrats.data.batches.company`.
    """

    def __init__(
        self,
        cases: Sequence[CachedCase],
        *,
        patch_size: Sequence[int] | None,
        batch_size: int,
        foreground_share: float,
        augmentation: Augmentation,
        seed: int,
        phantom_share: float = 0.0,
    ) -> None:
        unlabelled = [case.name for case in cases if case.mask is None]
        if unlabelled:
            raise DataError(f"case {unlabelled[0]} has no segmentation and cannot be trained on")
        self._cases = list(cases)
        self._broken: set[int] = set()
        self.rejected: list[RejectedCase] = []
        # Whole volumes are patches as large as the largest of them, so that any of them make a batch; a patch that is
        # larger still would hold nothing more.
        whole = -(-np.max([case.image.shape[1:] for case in cases], axis=0) // 16) * 16
        self._patch = tuple(int(n) for n in np.minimum(patch_size or whole, whole))
        self._batch_size = batch_size
        self._foreground_share = foreground_share
        self._augmentation = augmentation
        self._seed = seed
        self._company = Company(phantom_share, seed, common_spacing(cases) if phantom_share else None)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self._requested: dict[tuple[int, int], Future[Batch]] = {}
        self.seconds_waiting = 0.0

    def batches(self, round_number: int, steps: int) -> Iterator[Batch]:
        """The batches of one round; after the last, the next round's first ones are read while the site waits."""
        self._forget_other_rounds(round_number)
        for step in range(steps):
            for upcoming in range(step, min(step + 1 + BATCHES_AHEAD, steps)):
                self._request(round_number, upcoming)
            began = time.perf_counter()
            batch = self._requested.pop((round_number, step)).result()
            self.seconds_waiting += time.perf_counter() - began
            yield batch
        for upcoming in range(min(BATCHES_AHEAD, steps)):
            self._request(round_number + 1, upcoming)

    def _request(self, round_number: int, step: int) -> None:
        if (round_number, step) not in self._requested:
            self._requested[round_number, step] = self._reader.submit(self.draw, round_number, step)

    def _forget_other_rounds(self, round_number: int) -> None:
        for key in [key for key in self._requested if key[0] != round_number]:
            self._requested.pop(key).cancel()

    def draw(self, round_number: int, step: int) -> Batch:
        """The batch of one step. Raises: DataError where every case has broken."""
        while True:
            rng = np.random.default_rng([self._seed, round_number, 1 + step])
            places = range(step * self._batch_size, (step + 1) * self._batch_size)
            drawn = [self._drawn(round_number, place) for place in places]
            pairs = []
            for index, case in drawn:
                try:
                    pairs.append(self._patch_of(case, rng))
                except BrokenCaseError as error:
                    assert index is not None
                    self._broken.add(index)
                    self.rejected.append(RejectedCase(error.name, str(error)))
                    break
            else:
                images, masks = zip(*pairs, strict=True)
                indices = tuple(index for index, _ in drawn if index is not None)
                return Batch(np.stack(images), np.stack(masks), indices)

    def _drawn(self, round_number: int, place: int) -> tuple[int | None, CachedCase]:
        """What stands at a place of the round's order: a case with its number, or a phantom, which has none."""
        phantoms = self._company.before(place)
        if self._company.before(place + 1) > phantoms:
            return None, self._company.phantom(round_number, phantoms)
        index = self._index(round_number, place - phantoms)
        return index, self._cases[index]

    def draw_of(self, cases: Sequence[int], count: int, rng: np.random.Generator) -> Batch | None:
        """`count` patches of the cases of these numbers, in turn; None where none is left, or one breaks."""
        usable = [index for index in cases if index not in self._broken]
        if not usable:
            return None
        chosen = [usable[number % len(usable)] for number in range(count)]
        pairs = []
        for index in chosen:
            try:
                pairs.append(self._patch_of(self._cases[index], rng))
            except BrokenCaseError as error:
                self._broken.add(index)
                self.rejected.append(RejectedCase(error.name, str(error)))
                return None
        images, masks = zip(*pairs, strict=True)
        return Batch(np.stack(images), np.stack(masks), tuple(chosen))

    def _index(self, round_number: int, position: int) -> int:
        """Which case stands at a position of the round's order: one shuffle after another, each case once in each."""
        epoch, place = divmod(position, len(self._cases))
        order = np.random.default_rng([self._seed, round_number, 0, epoch]).permutation(len(self._cases))
        for index in (*order[place:], *order[:place]):
            if index not in self._broken:
                return int(index)
        raise DataError(
            f"none of the {len(self._cases)} training cases can be read any more: {self.rejected[-1].reason}"
        )

    def _patch_of(self, case: CachedCase, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        assert case.mask is not None
        check_files(case)
        start = self._draw_start(case.mask, rng)
        image, mask = _cut(case.image, start, self._patch), _cut(case.mask, start, self._patch)
        check_values(case, image, mask)
        return augment(image, mask, self._augmentation, rng)

    def _draw_start(self, mask: NDArray[np.uint8], rng: np.random.Generator) -> list[int]:
        """The patch's first voxel along each axis: around a voxel of some region, or anywhere; the case stays inside.

        Where a side of the case is shorter than the patch, the start is negative: the case lies anywhere in the patch.
        """
        shape = mask.shape[1:]
        spans = [sorted((0, n - p)) for n, p in zip(shape, self._patch, strict=True)]
        start = [int(rng.integers(low, high + 1)) for low, high in spans]
        if rng.random() < self._foreground_share:
            voxels = np.flatnonzero(mask[rng.integers(len(mask))])
            if len(voxels):
                centre = np.unravel_index(voxels[rng.integers(len(voxels))], shape)
                for axis, (low, high) in enumerate(spans):
                    if low == 0:
                        start[axis] = int(np.clip(int(centre[axis]) - self._patch[axis] // 2, low, high))
        return start


def _cut(volume: NDArray[np.generic], start: Sequence[int], size: Sequence[int]) -> NDArray[np.float32]:
    """The patch (C, *size) of a volume (C, X, Y, Z) from `start` on, zero where the volume has nothing."""
    patch = np.zeros((len(volume), *size), np.float32)
    source, target = [slice(None)], [slice(None)]
    for begin, length, side in zip(start, size, volume.shape[1:], strict=True):
        low, high = max(begin, 0), min(begin + length, side)
        source.append(slice(low, high))
        target.append(slice(low - begin, high - begin))
    patch[tuple(target)] = volume[tuple(source)]
    return patch
