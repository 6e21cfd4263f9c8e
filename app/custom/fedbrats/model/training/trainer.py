"""One site's training, round by round: batches -> loss -> steps. Of a federation it knows weights in and out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedbrats.data.batches.loading import Batch, Loader
from fedbrats.data.prepare.cache import CachedCase, RejectedCase
from fedbrats.errors import DataError, UpdateError
from fedbrats.model.device import choose_device
from fedbrats.model.network import SegmentationNetwork
from fedbrats.model.precision import autocast, precision_of
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.allocator import keep_freed_memory
from fedbrats.model.training.evaluation import Evaluation
from fedbrats.model.training.hooks import StepHook
from fedbrats.model.training.loss import choose_loss
from fedbrats.model.training.optimisation import Optimisation, learning_rate_at
from fedbrats.model.training.weights import copy_weights, freeze_others, take_over


@dataclass(frozen=True)
class TrainOutcome:
    """What a local round came to.

    Attributes:
        steps: how many changed the weights.
        cases: how many training cases have not broken.
        loss: the mean over the steps, on patches of `loss_cases` different cases.
        seconds_waiting: of `seconds`, for batches.
        skipped: steps whose loss or gradient was not finite; they changed nothing.
    """

    steps: int
    cases: int
    loss: float
    loss_cases: int
    seconds: float
    seconds_waiting: float
    skipped: int


@dataclass
class _Tally:
    """The steps of a round so far: losses, the numbers of the cases that they are of, and steps without a loss."""

    losses: list[float] = field(default_factory=list)
    cases: set[int] = field(default_factory=set)
    skipped: int = 0

    def add(self, loss: float, batch: Batch) -> None:
        if math.isfinite(loss):
            self.losses.append(loss)
            self.cases.update(batch.cases)
        else:
            self.skipped += 1


MOST_ROUNDS = 10**6  # of a job: the batches of a repeated round are those of a round that no job has


class Trainer:
    """A network, its optimiser and its cases, alive across rounds.

    Args:
        network_options: arguments of SegmentationNetwork: `preset`, `seed` and changes.
        seed: of this site; the batches of a round depend on it and on the round's number alone.
        device: `auto` takes a CUDA GPU where there is one.
        threads: of torch on the CPU, for the whole process; None leaves them.

    Attributes:
        evaluation: scores of the network on the validation cases.
        optimisation: the optimiser and its state.
        loader: draws batches of the training cases.
    """

    def __init__(
        self,
        network_options: Mapping[str, Any],
        settings: TrainingSettings,
        training: Sequence[CachedCase],
        validation: Sequence[CachedCase] = (),
        *,
        seed: int,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        if not training:
            raise DataError("there is no case to train on")
        if threads:
            torch.set_num_threads(threads)
        self.settings = settings
        self.training = tuple(training)
        self.device = choose_device(device)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.network = SegmentationNetwork(**network_options).to(self.device)
        freeze_others(self.network, settings.trainable)
        self._seed = seed
        self._precision = precision_of(self.device, settings.mixed_precision)
        self._loss = choose_loss(settings, self.device)
        scaled = self._precision is torch.float16
        self.optimisation = Optimisation(self.network, settings, self.device, scaled=scaled)
        self.evaluation = Evaluation(self.network, settings, validation, self.device)
        self.loader = _new_loader(self.training, settings, seed)

    def use_cases(self, training: Sequence[CachedCase]) -> None:
        """Train on other cases from the next round on; weights and optimiser stay."""
        self.training = tuple(training)
        self.loader = _new_loader(self.training, self.settings, self._seed)

    @property
    def rejected(self) -> tuple[RejectedCase, ...]:
        """The cases, of training and of validation, that broke since the trainer has them; they are left out."""
        return (*self.loader.rejected, *self.evaluation.rejected)

    @property
    def usable_training_cases(self) -> int:
        """How many training cases have not broken."""
        return len(self.training) - len(self.loader.rejected)

    def get_weights(self) -> dict[str, NDArray[np.float32]]:
        """A copy of every weight, float32, by name."""
        return copy_weights(self.network)

    def set_weights(self, weights: Mapping[str, NDArray[np.floating]], *, strict: bool = True) -> None:
        """Take over weights by name; the optimiser's state stays. Raises: UpdateError as `take_over`."""
        take_over(self.network, weights, strict=strict)

    def train_round(
        self,
        round_number: int,
        total_rounds: int,
        *,
        hooks: Sequence[StepHook] = (),
        should_stop: Callable[[], bool] | None = None,
        on_step: Callable[[int, float], None] | None = None,
        repeat: int = 0,
    ) -> TrainOutcome:
        """Train one local round from the present weights.

        The learning rate follows the share of `total_rounds` that is done, so that it falls alike in a federation and
        in central training.

        Args:
            hooks: what a method changes of the steps.
            should_stop: asked before each step.
            on_step: told each step's number and loss.
            repeat: how often the round was trained before; each time has batches of its own.

        Raises: UpdateError where no step had a finite loss.
        """
        began, waited = time.perf_counter(), self.loader.seconds_waiting
        if not self.settings.keep_optimiser:
            self.optimisation.reset()
        steps = self.settings.steps_per_round(self.usable_training_cases)
        tally = _Tally()
        self.network.train()
        for hook in hooks:
            hook.before_steps(self.network)
        drawn_as = round_number + repeat * MOST_ROUNDS
        with _seeded(self._seed, drawn_as, self.device):
            for step, batch in enumerate(self.loader.batches(drawn_as, steps)):
                if should_stop and should_stop():
                    break
                progress = (round_number + step / steps) / max(total_rounds, 1)
                loss = self._step(batch, learning_rate_at(self.settings, progress), hooks)
                tally.add(loss, batch)
                if on_step:
                    on_step(step, loss)
        if tally.skipped and not tally.losses:
            raise UpdateError(
                f"no step of round {round_number} had a finite loss: the received weights or the learning rate are "
                "out of bounds"
            )
        return TrainOutcome(
            steps=len(tally.losses),
            cases=self.usable_training_cases,
            loss=float(np.mean(tally.losses)) if tally.losses else math.nan,
            loss_cases=len(tally.cases),
            seconds=time.perf_counter() - began,
            seconds_waiting=self.loader.seconds_waiting - waited,
            skipped=tally.skipped,
        )

    def loss_of(self, batch: Batch, hooks: Sequence[StepHook] = (), precision: torch.dtype | None = None) -> Tensor:
        """The loss of a batch under the present weights, a scalar; computed in float32 without a `precision`."""
        images = torch.from_numpy(batch.images).to(self.device, non_blocking=True)
        masks = torch.from_numpy(batch.masks).to(self.device, non_blocking=True)
        with autocast(self.device, precision):
            outputs = self.network.forward_deep(images)
        loss = self._loss(outputs, masks)
        for hook in hooks:
            loss = hook.change_loss(loss, self.network)
        return loss

    def _step(self, batch: Batch, learning_rate: float, hooks: Sequence[StepHook]) -> float:
        """One optimiser step; returns the loss. A loss or gradient that is not finite changes nothing and gives NaN."""
        loss = self.loss_of(batch, hooks, self._precision)
        value = float(loss.detach())
        if not math.isfinite(value) or not self.optimisation.step(loss, learning_rate, hooks):
            return math.nan
        return value


def _new_loader(cases: Sequence[CachedCase], settings: TrainingSettings, seed: int) -> Loader:
    return Loader(
        cases,
        patch_size=settings.patch_size,
        batch_size=settings.batch_size,
        foreground_share=settings.foreground_share,
        phantom_share=settings.phantom_share,
        augmentation=settings,
        seed=seed,
    )


@contextmanager
def _seeded(seed: int, round_number: int, device: torch.device) -> Iterator[None]:
    """Torch's own random numbers (dropout) seeded by site and round, and given back as they were."""
    number = int(np.random.SeedSequence([seed, round_number]).generate_state(1)[0])
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        if device.type == "cpu":  # torch.manual_seed asks every kind of GPU too, which takes as long as a small step
            torch.default_generator.manual_seed(number)
        else:
            torch.manual_seed(number)
        yield
