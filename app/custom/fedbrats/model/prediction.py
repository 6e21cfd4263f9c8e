"""From a case's files to a mask on the scan's own grid: prepare as in training, predict, bring back."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from fedbrats.data.cases.case import Case
from fedbrats.data.placement import Grid, open_placed
from fedbrats.data.prepare.cache import CachedCase
from fedbrats.data.prepare.preparation import (
    Geometry,
    prepare,
    read_labels,
    regions_of,
    restore_probabilities,
)
from fedbrats.data.regions import BRATS_2018, REGIONS, LabelConvention
from fedbrats.errors import DataError
from fedbrats.model.inference import THRESHOLD, keep_main_tumour, predict_probabilities
from fedbrats.model.metrics import DetailedScore, score_in_detail
from fedbrats.model.out_of_memory import is_out_of_memory, release_unused
from fedbrats.model.saved import SavedModel

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

Result = TypeVar("Result")
SMALL_WINDOW = (96, 96, 96)  # what to try where a whole volume does not fit into memory


@dataclass(frozen=True)
class Prediction:
    """A case's probabilities, float32 (3, X, Y, Z), on the grid of its scans; `scan` is the first of them, unread.

    dropped_ml: the volume of parts with little core, away from the main tumour, that were predicted and left out.
    """

    case: Case
    probabilities: NDArray[np.float32]
    scan: Nifti1Image
    dropped_ml: float = 0.0

    @property
    def mask(self) -> NDArray[np.uint8]:
        """uint8 (3, X, Y, Z): each region where it is at least as likely as not."""
        return (self.probabilities >= THRESHOLD).astype(np.uint8)

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """The edges of a voxel."""
        return tuple(float(edge) for edge in np.linalg.norm(self.scan.affine[:3, :3], axis=0))

    @property
    def volumes_ml(self) -> dict[str, float]:
        """The predicted volume of each region."""
        counts = self.mask.reshape(len(REGIONS), -1).sum(axis=1)
        voxel_ml = math.prod(self.spacing_mm) / 1000
        return {name: int(count) * voxel_ml for name, count in zip(REGIONS, counts, strict=True)}


@dataclass(frozen=True)
class Predictor:
    """A model and how it is asked.

    window: the sides of a sliding window in prepared voxels, where the model does not say; None takes the whole volume.
    flips: the mean over eight mirror images, for eight times the time.
    others: further models, the probabilities of all of which are averaged on the grid of the scan.
    """

    model: SavedModel
    device: torch.device
    window: tuple[int, int, int] | None = None
    flips: bool = False
    others: tuple[SavedModel, ...] = ()

    @property
    def sha256(self) -> str:
        """Of the model's weights; of several models, of their checksums in order."""
        sums = [model.sha256 for model in (self.model, *self.others)]
        return sums[0] if len(sums) == 1 else hashlib.sha256(" ".join(sums).encode()).hexdigest()

    @property
    def name(self) -> str:
        """The file of the model, or the files of several."""
        return ", ".join(str(model.path) for model in (self.model, *self.others))

    @property
    def title(self) -> str:
        """The folder of the model, or how many models there are, for a picture."""
        count = 1 + len(self.others)
        return f"{count} models together" if self.others else self.model.path.resolve().parent.name

    def predict(self, case: Case) -> Prediction:
        """Predict one case; its segmentation, if any, is not looked at.

        Raises: DataError for a case that cannot be used, in one sentence that names the file, or that does not fit into
            memory: the next one may be smaller.
        """
        return self._within_memory(case, lambda: self._predict(case))

    def score(self, case: Case, convention: LabelConvention) -> DetailedScore:
        """Predict one case and score it in detail, on the grid of its scans. Raises: DataError, as `predict` does."""
        return self._within_memory(case, lambda: self._score(case, convention))

    def _predict(self, case: Case) -> Prediction:
        scan = open_placed(case.image_paths[0])
        if self.others:
            return self._predict_together(case, scan)
        found, geometry = self._ask(self.model, case)
        probabilities, dropped = keep_main_tumour(found, self.model.component_share)
        dropped_ml = dropped * math.prod(geometry.spacing_mm) / 1000
        return Prediction(case, restore_probabilities(probabilities, geometry), scan, dropped_ml)

    def _predict_together(self, case: Case, scan: Nifti1Image) -> Prediction:
        """The mean of all models, each of which prepares the case in its own way; parts are chosen from the mean."""
        total = restore_probabilities(*self._ask(self.model, case))
        for model in self.others:
            total += restore_probabilities(*self._ask(model, case))
        mean = total / np.float32(1 + len(self.others))
        probabilities, dropped = keep_main_tumour(mean, self.model.component_share)
        whole = Prediction(case, probabilities, scan)
        return replace(whole, dropped_ml=dropped * math.prod(whole.spacing_mm) / 1000)

    def _ask(self, model: SavedModel, case: Case) -> tuple[NDArray[np.float32], Geometry]:
        """The probabilities of one model, float32 (3, X, Y, Z), on its prepared grid."""
        # The convention reads labels, of which an unlabelled case has none.
        prepared = prepare(replace(case, label=None), BRATS_2018, model.preparation)
        cached = CachedCase(case.name, case.patient, prepared.image, None, prepared.geometry)
        network, window = model.network.to(self.device), self.window or model.window
        found = predict_probabilities(network, cached, device=self.device, window=window, flips=self.flips)
        return found, prepared.geometry

    def _score(self, case: Case, convention: LabelConvention) -> DetailedScore:
        truth = read_truth(case, convention)
        prediction = self.predict(case)
        return score_in_detail(case.name, case.patient, prediction.mask, truth, prediction.spacing_mm)

    @property
    def _window(self) -> tuple[int, int, int] | None:
        return self.window or self.model.window

    def _within_memory(self, case: Case, work: Callable[[], Result]) -> Result:
        try:
            return work()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # The error is gone here, and with it the frames whose tensors it held.
        release_unused(self.device)
        sides = " ".join(map(str, self._window or SMALL_WINDOW))
        advice = f"give a smaller --window than {sides}" if self._window else f"give --window {sides}"
        raise DataError(f"case {case.name} does not fit into memory: {advice} or take a machine with more memory")


def read_truth(case: Case, convention: LabelConvention) -> NDArray[np.uint8]:
    """A case's segmentation as regions, uint8 (3, X, Y, Z), on the grid of its images, of which a header is read.

    Raises: DataError naming the case, if there is none or it lies on another grid, by the rule of training: compared
        voxel by voxel, a mirrored one would make a good prediction look bad.
    """
    if case.label is None:
        raise DataError(f"case {case.name} has no segmentation to compare with")
    path = case.image_paths[0]
    try:
        scan = open_placed(path)
    except DataError as error:
        raise DataError(f"case {case.name}: {error}") from None
    images = Grid(scan.shape[:3], scan.affine)  # some files have a fourth dimension of 1
    return regions_of(case, read_labels(case, images), convention)
