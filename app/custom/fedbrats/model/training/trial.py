"""Some steps before hours of training: whether a network and a loss work at all, and what a step costs here."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fedbrats.data.cases.case import MODALITIES
from fedbrats.data.prepare.cache import CachedCase
from fedbrats.data.regions import REGIONS
from fedbrats.errors import ConfigurationError, FedbratsError, UpdateError
from fedbrats.model.inference import predict_mask
from fedbrats.model.metrics import score_in_detail
from fedbrats.model.network import SegmentationNetwork
from fedbrats.model.out_of_memory import is_out_of_memory
from fedbrats.model.settings import BRAIN, TrainingSettings
from fedbrats.model.training.trainer import Trainer

SIDE = 24  # voxels of the input's sides
ENOUGH_S, MOST = 2.0, 40  # seconds of steps that are measured, and how many steps
_GB = 1e9


def try_step(network: SegmentationNetwork, loss: nn.Module) -> None:
    """Compute logits, loss and gradients once; the network keeps its weights, and has no gradients afterwards.

    Raises: ConfigurationError that names the class of the network or of the loss, and says what of it cannot be.
    """
    its_network, its_loss = f"network {type(network.net).__name__}", f"loss {type(loss).__name__}"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        images = torch.randn(1, len(MODALITIES), SIDE, SIDE, SIDE)
        masks = (torch.rand(1, len(REGIONS), SIDE, SIDE, SIDE) > 0.5).float()
        with _naming(its_network, "its forward"):
            logits = network(images)
            _check_logits(logits, images, masks, its_network)
        with _naming(its_loss, "it"):
            value = loss(logits, masks)
            _check_value(value, its_loss)
        with _naming(f"{its_loss} or {its_network}", "the gradient"):
            value.backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    if not gradients or not all(torch.isfinite(each).all() for each in gradients):
        raise ConfigurationError(f"{its_loss}: it has no finite gradient in the parameters of {its_network}")
    network.zero_grad(set_to_none=True)


def _check_logits(logits: Tensor, images: Tensor, masks: Tensor, who: str) -> None:
    if logits.shape != masks.shape:
        raise ConfigurationError(
            f"{who}: images of shape {tuple(images.shape)} give logits of shape {tuple(logits.shape)}, "
            f"expected {tuple(masks.shape)}"
        )
    if not torch.isfinite(logits).all():
        raise ConfigurationError(f"{who}: its logits hold NaN or infinity with its first weights and usual images")


def _check_value(value: Any, who: str) -> None:
    if not isinstance(value, Tensor):
        raise ConfigurationError(f"{who}: it is of type {type(value).__name__}, expected a tensor of one number")
    if value.shape != ():
        raise ConfigurationError(
            f"{who}: it is of shape {tuple(value.shape)}, expected one number, of shape (); return its mean"
        )
    if not torch.isfinite(value):
        raise ConfigurationError(f"{who}: it is {value.detach()!s:.80}, expected one finite number")
    if not value.requires_grad:
        raise ConfigurationError(f"{who}: it does not depend on the logits by operations that PyTorch differentiates")


@contextmanager
def _naming(who: str, what: str) -> Iterator[None]:
    """What somebody's own code raises, in a sentence that says whose it is. Raises: ConfigurationError."""
    try:
        yield
    except (ConfigurationError, UpdateError):
        raise
    except Exception as error:  # somebody's own code
        raise ConfigurationError(f"{who}: {what} fails in one step: {error!r:.300}") from error


@dataclass(frozen=True)
class Timing:
    """What training costs.

    Attributes:
        step_s: seconds of a step.
        score_s: of predicting and scoring one case in a round.
        final_s: of one case in the last evaluation.
        memory_gb: that it took.
        gflop_a_step: operations of a step in 10^9.
        device: `cpu` or `cuda`.
    """

    step_s: float
    score_s: float
    final_s: float
    memory_gb: float
    gflop_a_step: float
    device: str


def time_training(
    network: Mapping[str, Any],
    settings: TrainingSettings,
    case: CachedCase,
    *,
    weights: Mapping[str, np.ndarray] | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> Timing:
    """Train some steps on a prepared case, as a site would, and score it; a few seconds.

    The case gets a made-up mask: only time is asked for.

    Args:
        weights: the first ones; None leaves those of the network's seed.

    Raises: FedbratsError where there is not enough memory.
    """
    case = replace(case, mask=_tumour(case.image.shape[1:]))
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
        if weights is not None:
            trainer.set_weights(weights)
        trainer.evaluation.score()  # the first one reserves memory
        score_s = _seconds_of(trainer.evaluation.score)
        step_s = _seconds_of_step(trainer)
        final_s = _seconds_of_final(trainer, case)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise FedbratsError(
            f"a step with patches of {settings.patch_size} voxels does not fit into the memory of this machine; "
            f"set a smaller patch_size, or spacing_mm=2 and network=fast"
        ) from error
    memory_gb = _memory_gb(trainer.device)
    return Timing(step_s, score_s, final_s, memory_gb, gflop_of_step(network, settings), trainer.device.type)


def gflop_of_step(network: Mapping[str, Any], settings: TrainingSettings) -> float:
    """The operations of one step, forward and backward, in 10^9; counted without computing anything.

    Whole volumes (patch_size null) are counted as BRAIN.
    """
    shape = settings.patch_size or BRAIN
    model = SegmentationNetwork(**network).to("meta")
    images = torch.zeros(settings.batch_size, len(MODALITIES), *shape, device="meta")
    with FlopCounterMode(display=False) as counter:
        sum(output.sum() for output in model.forward_deep(images)).backward()  # type: ignore[union-attr]
    return float(counter.get_total_flops()) / 1e9


def _seconds_of(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _seconds_of_step(trainer: Trainer) -> float:
    """The mean over the steps of a round that is stopped early; the first one fills caches and counts only alone.

    The mean and not the median: a step that waits for its patch, or for another program, takes its time too.
    """
    done = [time.perf_counter()]
    trainer.train_round(
        0,
        1,
        should_stop=lambda: len(done) > 2 and done[-1] - done[1] > ENOUGH_S,
        on_step=lambda _step, _loss: done.append(time.perf_counter()),
    )
    steps = [later - earlier for earlier, later in pairwise(done)]
    return statistics.fmean(steps[1:] or steps)


def _seconds_of_final(trainer: Trainer, case: CachedCase) -> float:
    """One case in the last evaluation: predicted, then a made-up prediction compared with the made-up mask.

    The network's own prediction would not do. A network that was trained to a made-up mask for some steps finds pieces
    all over the brain, and the metrics of surfaces take ten times as long for them as for a tumour.
    """
    settings, shape = trainer.settings, case.image.shape[1:]
    predicted = _tumour(shape, moved=0.1)

    def work() -> None:
        predict_mask(
            trainer.network,
            case,
            device=trainer.device,
            window=settings.inference_window,
            flips=settings.final_flips,
            mixed_precision=settings.mixed_precision,
        )
        assert case.mask is not None
        score_in_detail(case.name, case.patient, predicted, case.mask, case.geometry.spacing_mm)

    return _seconds_of(work)


def _memory_gb(device: torch.device) -> float:
    """The most that was taken: of a GPU by our tensors, else by this process as a whole."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / _GB
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024) / _GB


def _tumour(shape: tuple[int, ...], moved: float = 0.0) -> np.ndarray:
    """Regions (3, X, Y, Z) of a tumour of usual size in the middle of a brain, or `moved` of its half length away."""
    grid = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    distance = sum((axis - moved) ** 2 for axis in grid)
    return np.stack([distance < radius**2 for radius in (0.35, 0.25, 0.2)]).astype(np.uint8)
