"""A local round of private steps: patients drawn at random, their gradients clipped, summed and covered by noise."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedbrats.model.training.hooks import StepHook
from fedbrats.model.training.optimisation import learning_rate_at
from fedbrats.model.training.trainer import Trainer, TrainOutcome
from fedbrats.privacy.noise import SecretRandom
from fedbrats.privacy.private_sum import PrivateSum, sample
from fedbrats.privacy.settings import PrivacySettings


def train_privately(
    trainer: Trainer,
    settings: PrivacySettings,
    round_number: int,
    total_rounds: int,
    random: SecretRandom,
    *,
    hooks: Sequence[StepHook] = (),
    should_stop: Callable[[], bool] | None = None,
) -> TrainOutcome:
    """Train one local round from the present weights; every step counts, also one for which no patient was drawn.

    The optimiser sees noisy means only, so that its state is as private as they are. `loss` of the outcome is NaN, and
    its numbers of cases are those that are listed: nothing else is told of the round. Computed in float32.
    """
    began = time.perf_counter()
    if not trainer.settings.keep_optimiser:
        trainer.optimisation.reset()
    patients = cases_by_patient(trainer)
    parameters = [each for each in trainer.network.parameters() if each.requires_grad]
    length = sum(each.numel() for each in parameters)
    steps = trainer.settings.local_steps
    trainer.network.train()
    for hook in hooks:
        hook.before_steps(trainer.network)
    done = 0
    for step in range(steps):
        if should_stop and should_stop():
            break
        assert settings.dp_noise is not None
        total = PrivateSum(length, settings.dp_clip, settings.dp_noise, random)
        for patient in sample(list(patients), settings.dp_rate, random):
            rng = np.random.default_rng(np.frombuffer(random.uniform(2).tobytes(), np.uint64))
            gradient = _gradient_of(trainer, patients[patient], settings.dp_patches, rng, parameters, hooks)
            total.add(patient, gradient)
        set_gradients(parameters, total.release(settings.dp_rate * len(patients)))
        progress = (round_number + step / steps) / max(total_rounds, 1)
        trainer.optimisation.apply(learning_rate_at(trainer.settings, progress), hooks)
        done += 1
    listed = len(trainer.training)
    return TrainOutcome(
        steps=done,
        cases=listed,
        loss=math.nan,
        loss_cases=listed,
        seconds=time.perf_counter() - began,
        seconds_waiting=0.0,
        skipped=0,
    )


def cases_by_patient(trainer: Trainer) -> dict[str, list[int]]:
    """The numbers of the training cases of each patient."""
    cases: dict[str, list[int]] = defaultdict(list)
    for number, case in enumerate(trainer.training):
        cases[case.patient].append(number)
    return dict(cases)


def set_gradients(parameters: Sequence[Tensor], flat: NDArray[np.floating]) -> None:
    """Have the parameters hold a gradient that is one long array, in their order."""
    start = 0
    for each in parameters:
        part = torch.from_numpy(np.asarray(flat[start : start + each.numel()], dtype=np.float32))
        each.grad = part.reshape(each.shape).to(each.device)
        start += each.numel()


def _gradient_of(
    trainer: Trainer,
    cases: Sequence[int],
    patches: int,
    rng: np.random.Generator,
    parameters: Sequence[Tensor],
    hooks: Sequence[StepHook],
) -> NDArray[np.float64]:
    """The mean gradient of some patches of one patient, as one long array; zeros where no case can be read."""
    batch = trainer.loader.draw_of(cases, patches, rng)
    if batch is None:
        return np.zeros(sum(each.numel() for each in parameters))
    loss = trainer.loss_of(batch, hooks)
    found = torch.autograd.grad(loss, list(parameters), allow_unused=True)
    parts = [
        torch.zeros(each.numel()) if gradient is None else gradient.detach().cpu().reshape(-1)
        for each, gradient in zip(parameters, found, strict=True)
    ]
    return torch.cat(parts).numpy().astype(np.float64)
