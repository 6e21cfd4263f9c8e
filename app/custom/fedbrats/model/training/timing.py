"""What a step costs on this machine: measured with the network and the patch that a job would have."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from fedbrats.data.cases.case import MODALITIES
from fedbrats.data.prepare.cache import CachedCase
from fedbrats.errors import FedbratsError
from fedbrats.model.network import SegmentationNetwork
from fedbrats.model.out_of_memory import is_out_of_memory
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.trainer import Trainer

ENOUGH_S, MOST = 2.0, 40  # seconds of steps that are measured, and how many steps
_GB = 1e9


@dataclass(frozen=True)
class Timing:
    """Seconds of a step and of scoring one case, the memory that it took, and the operations of a step in 10^9."""

    step_s: float
    score_s: float
    memory_gb: float
    gflop_a_step: float


def time_training(
    network: Mapping[str, Any],
    settings: TrainingSettings,
    case: CachedCase,
    *,
    device: str = "auto",
    threads: int | None = None,
) -> Timing:
    """Train some steps on a prepared case, as a site would, and score it once; a few seconds.

    The case gets a made-up mask: only time is asked for.

    Raises: FedbratsError where there is not enough memory.
    """
    case = replace(case, mask=_ball(case.image.shape[1:]))
    try:
        trainer = Trainer(
            network,
            settings.changed(local_steps=MOST, local_epochs=None),
            [case],
            [case],
            seed=0,
            device=device,
            threads=threads,
        )
        step_s = _seconds_of_step(trainer)
        began = time.perf_counter()
        trainer.evaluation.score()
        score_s = time.perf_counter() - began
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise FedbratsError(
            f"a step with patches of {settings.patch_size} voxels does not fit into the memory of this machine; "
            f"set a smaller patch_size, or spacing_mm=2 and network=fast"
        ) from error
    return Timing(step_s, score_s, _memory_gb(trainer.device), gflop_of_step(network, settings))


def gflop_of_step(network: Mapping[str, Any], settings: TrainingSettings) -> float:
    """The operations of one step, forward and backward, in 10^9; counted without computing anything.

    Whole volumes (patch_size null) are counted as 80 x 96 x 80 voxels, a brain at 2 mm.
    """
    shape = settings.patch_size or (80, 96, 80)
    model = SegmentationNetwork(**network).to("meta")
    images = torch.zeros(settings.batch_size, len(MODALITIES), *shape, device="meta")
    with FlopCounterMode(display=False) as counter:
        sum(output.sum() for output in model.forward_deep(images)).backward()  # type: ignore[union-attr]
    return float(counter.get_total_flops()) / 1e9


def _seconds_of_step(trainer: Trainer) -> float:
    """The median over the steps of a round that is stopped early; the first one fills caches and counts only alone."""
    done = [time.perf_counter()]
    trainer.train_round(
        0,
        1,
        should_stop=lambda: len(done) > 2 and done[-1] - done[1] > ENOUGH_S,
        on_step=lambda _step, _loss: done.append(time.perf_counter()),
    )
    steps = [later - earlier for earlier, later in pairwise(done)]
    return statistics.median(steps[1:] or steps)


def _memory_gb(device: torch.device) -> float:
    """The most that was taken: of a GPU by our tensors, else by this process as a whole."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / _GB
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024) / _GB


def _ball(shape: tuple[int, ...]) -> np.ndarray:
    """Regions (3, X, Y, Z) of a tumour in the middle."""
    grid = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    distance = sum(axis**2 for axis in grid)
    return np.stack([distance < radius for radius in (0.2, 0.1, 0.05)]).astype(np.uint8)
