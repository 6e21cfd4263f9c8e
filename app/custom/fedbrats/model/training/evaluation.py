"""Scores of the network that is trained, on prepared cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fedbrats.data.prepare.cache import CachedCase, RejectedCase
from fedbrats.data.prepare.soundness import BrokenCaseError, check_files, check_values
from fedbrats.model.inference import predict_mask
from fedbrats.model.metrics import CaseScore, DetailedScore, score_case, score_in_detail
from fedbrats.model.network import SegmentationNetwork
from fedbrats.model.settings import TrainingSettings

Scored = tuple[CachedCase, NDArray[np.uint8], NDArray[np.uint8]]


class Evaluation:
    """Scores a network on cases; one that breaks is left out from then on, and `rejected` says why.

    Args:
        cases: the validation cases.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        settings: TrainingSettings,
        cases: Sequence[CachedCase],
        device: torch.device,
    ) -> None:
        self.cases = tuple(cases)
        self._network = network
        self._settings = settings
        self._device = device
        self._broken: list[tuple[CachedCase, RejectedCase]] = []  # by the case itself: two sites may use one name

    @property
    def rejected(self) -> tuple[RejectedCase, ...]:
        """The cases that broke."""
        return tuple(rejected for _, rejected in self._broken)

    @property
    def usable_cases(self) -> tuple[CachedCase, ...]:
        """The validation cases that can be scored: they have a segmentation and have not broken."""
        return tuple(case for case in self.cases if case.mask is not None and not self._is_broken(case))

    def score(self, cases: Sequence[CachedCase] | None = None) -> list[CaseScore]:
        """Dice and IoU of each case that has a segmentation, on its prepared grid; the validation cases by default."""
        return [score_case(case.name, case.patient, mask, truth) for case, mask, truth in self._masks(cases, False)]

    def score_finally(self, cases: Sequence[CachedCase] | None = None) -> list[DetailedScore]:
        """All metrics, with mirror images where `final_flips` says so; of the validation cases by default."""
        return [
            score_in_detail(case.name, case.patient, mask, truth, case.geometry.spacing_mm)
            for case, mask, truth in self._masks(cases, self._settings.final_flips)
        ]

    def _masks(self, cases: Sequence[CachedCase] | None, flips: bool) -> Iterator[Scored]:
        """The cases that can be scored, each with its predicted and its true mask, (3, x, y, z)."""
        for case in self.cases if cases is None else cases:
            if case.mask is None or self._is_broken(case):
                continue
            try:
                check_files(case)
                check_values(case, case.image, case.mask)
            except BrokenCaseError as error:
                self._broken.append((case, RejectedCase(case.name, str(error))))
                continue
            yield case, self._predict(case, flips), case.mask

    def _predict(self, case: CachedCase, flips: bool) -> NDArray[np.uint8]:
        return predict_mask(
            self._network,
            case,
            device=self._device,
            window=self._settings.inference_window,
            flips=flips,
            component_share=self._settings.component_share,
            mixed_precision=self._settings.mixed_precision,
        )

    def _is_broken(self, case: CachedCase) -> bool:
        return any(case is broken for broken, _ in self._broken)
