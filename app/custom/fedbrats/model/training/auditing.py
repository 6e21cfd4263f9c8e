"""What an audit asks of networks: the loss of each patient, and a network that knows a few patients by heart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from fedbrats.data.prepare.cache import CachedCase
from fedbrats.model.inference import predict_probabilities
from fedbrats.model.network import SegmentationNetwork
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.trainer import Trainer

STEPS_A_CASE = 250  # until a few cases are known by heart: 100 were found less surely than FOUND asks
_LEAST_PROBABILITY = 1e-6


def losses_by_patient(
    network: SegmentationNetwork,
    cases: Iterable[CachedCase],
    *,
    device: torch.device,
    window: Sequence[int] | None = None,
) -> dict[str, float]:
    """The mean loss of each patient's whole cases: soft Dice and cross-entropy, the mean over the regions."""
    losses: dict[str, list[float]] = defaultdict(list)
    for case in cases:
        if case.mask is not None:
            losses[case.patient].append(_loss(network, case, device, window))
    return {patient: float(np.mean(own)) for patient, own in losses.items()}


def learn_by_heart(
    network: Mapping[str, Any],
    cases: Sequence[CachedCase],
    patch: tuple[int, int, int] | None,
    *,
    seed: int,
    device: str = "auto",
    threads: int | None = None,
) -> SegmentationNetwork:
    """A network that was trained on these cases alone, for long and without augmentation: the audit must find them."""
    settings = TrainingSettings(
        patch_size=patch,
        local_steps=STEPS_A_CASE * len(cases),
        weight_decay=0.0,
        flips=False,
        intensity=0.0,
        noise=0.0,
        rotation_degrees=0.0,
        scaling=0.0,
        modality_dropout=0.0,
    )
    trainer = Trainer(network, settings, cases, seed=seed, device=device, threads=threads)
    trainer.train_round(0, 1)
    return trainer.network


def _loss(network: SegmentationNetwork, case: CachedCase, device: torch.device, window: Sequence[int] | None) -> float:
    assert case.mask is not None
    found = predict_probabilities(network, case, device=device, window=window).astype(np.float64)
    truth = case.mask.astype(np.float64)
    axes = (1, 2, 3)
    dice = (2 * (found * truth).sum(axes) + 1) / (found.sum(axes) + truth.sum(axes) + 1)
    clipped = np.clip(found, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    entropy = -(truth * np.log(clipped) + (1 - truth) * np.log1p(-clipped)).mean(axes)
    return float((1 - dice + entropy).mean())
