"""One site's training, round by round: batches -> loss -> steps. Of a federation it knows weights in and out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.losses import DiceLoss
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from fedbrats.arrays import read_checkpoint
from fedbrats.atomic import write_bytes_atomic
from fedbrats.data.batches.loading import Batch, Loader
from fedbrats.data.prepare.cache import CachedCase, RejectedCase
from fedbrats.data.prepare.soundness import BrokenCaseError, check_files, check_values
from fedbrats.errors import DamagedFileError, DataError, UpdateError
from fedbrats.model.allocator import keep_freed_memory
from fedbrats.model.device import choose_device
from fedbrats.model.inference import predict_mask
from fedbrats.model.metrics import (
    CaseScore,
    DetailedScore,
    score_case,
    score_in_detail,
)
from fedbrats.model.network import SegmentationNetwork
from fedbrats.model.settings import TrainingSettings


@dataclass(frozen=True)
class TrainOutcome:
    """What a local round came to.

    loss is the mean over its steps, on patches of loss_cases different cases; skipped counts steps whose loss was not
    finite.
    """

    steps: int
    cases: int
    loss: float
    loss_cases: int
    seconds: float
    seconds_waiting: float
    skipped: int


class Trainer:
    """A network, its optimiser and its cases, alive across rounds.

    Args:
        network_options: arguments of SegmentationNetwork: `preset`, `seed` and changes.
        seed: of this site; the batches of a round depend on it and on the round's number alone.
        device: `auto` takes a CUDA GPU where there is one.
        threads: of torch on the CPU, for the whole process; None leaves them.
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
        self.training, self.validation = tuple(training), tuple(validation)
        self.device = choose_device(device)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.network = SegmentationNetwork(**network_options).to(self.device)
        self._seed = seed
        self._broken: list[tuple[CachedCase, RejectedCase]] = []  # by the case itself: two sites may use one name
        self._dice = DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0)
        self._optimiser = self._new_optimiser()
        self._loader = Loader(
            self.training,
            patch_size=settings.patch_size,
            batch_size=settings.batch_size,
            foreground_share=settings.foreground_share,
            augmentation=settings,
            seed=seed,
        )

    @property
    def rejected(self) -> tuple[RejectedCase, ...]:
        """The cases, of training and of validation, that broke since the trainer has them; they are left out."""
        return (*self._loader.rejected, *(rejected for _, rejected in self._broken))

    @property
    def usable_training_cases(self) -> int:
        """How many training cases have not broken."""
        return len(self.training) - len(self._loader.rejected)

    @property
    def usable_validation(self) -> tuple[CachedCase, ...]:
        """The validation cases that can be scored: they have a segmentation and have not broken."""
        return tuple(case for case in self.validation if case.mask is not None and not self._is_broken(case))

    def get_weights(self) -> dict[str, NDArray[np.float32]]:
        """A copy of every weight, float32, by name."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.network.state_dict().items()}

    def set_weights(self, weights: Mapping[str, NDArray[np.floating]], *, strict: bool = True) -> None:
        """Take over weights by name; with strict=False some may be absent. The optimiser's state stays.

        Raises: UpdateError naming the first weight that is missing, not the network's, or of another shape.
        """
        own = self.network.state_dict()
        if unknown := sorted(set(weights) - set(own)):
            raise UpdateError(f"weight {unknown[0]} is not of this network (and {len(unknown) - 1} more)")
        if strict and (missing := sorted(set(own) - set(weights))):
            raise UpdateError(f"weight {missing[0]} is missing (and {len(missing) - 1} more)")
        for name, value in weights.items():
            if tuple(value.shape) != tuple(own[name].shape):
                raise UpdateError(f"weight {name} has shape {tuple(value.shape)}, expected {tuple(own[name].shape)}")
        for name, value in weights.items():
            own[name].copy_(torch.from_numpy(np.array(value, dtype=np.float32)))  # a state_dict shares its storage

    def train_round(
        self,
        round_number: int,
        total_rounds: int,
        *,
        should_stop: Callable[[], bool] | None = None,
        on_step: Callable[[int, float], None] | None = None,
    ) -> TrainOutcome:
        """Train one local round from the present weights.

        should_stop is asked before each step; on_step is told each step's number and loss. The learning rate follows
        the share of `total_rounds` that is done, so that it falls alike in a federation and in central training.
        """
        began, waited = time.perf_counter(), self._loader.seconds_waiting
        if not self.settings.keep_optimiser:
            self._optimiser = self._new_optimiser()
        steps = self.settings.steps_per_round(self.usable_training_cases)
        anchor = [p.detach().clone() for p in self.network.parameters()] if self.settings.proximal_mu else []
        losses: list[float] = []
        seen: set[int] = set()
        skipped = 0
        self.network.train()
        with _seeded(self._seed, round_number, self.device):
            for step, batch in enumerate(self._loader.batches(round_number, steps)):
                if should_stop and should_stop():
                    break
                progress = (round_number + step / steps) / max(total_rounds, 1)
                loss = self._step(batch, self.settings.learning_rate_at(progress), anchor)
                if math.isfinite(loss):
                    losses.append(loss)
                    seen.update(batch.cases)
                else:
                    skipped += 1
                if on_step:
                    on_step(step, loss)
        if skipped and not losses:
            raise UpdateError(
                f"no step of round {round_number} had a finite loss: the received weights or the learning rate are "
                "out of bounds"
            )
        return TrainOutcome(
            steps=len(losses),
            cases=self.usable_training_cases,
            loss=float(np.mean(losses)) if losses else math.nan,
            loss_cases=len(seen),
            seconds=time.perf_counter() - began,
            seconds_waiting=self._loader.seconds_waiting - waited,
            skipped=skipped,
        )

    def validate(self, cases: Sequence[CachedCase] | None = None) -> list[CaseScore]:
        """Dice and IoU of each case that has a segmentation, on its prepared grid; the validation cases by default.

        A case that has broken has no score; `rejected` says why.
        """
        return [score_case(case.name, case.patient, mask, truth) for case, mask, truth in self._masks(cases, False)]

    def validate_finally(self, cases: Sequence[CachedCase] | None = None) -> list[DetailedScore]:
        """All metrics, with mirror images where `final_flips` says so; of the validation cases by default."""
        return [
            score_in_detail(case.name, case.patient, mask, truth, case.geometry.spacing_mm)
            for case, mask, truth in self._masks(cases, self.settings.final_flips)
        ]

    def _masks(
        self, cases: Sequence[CachedCase] | None, flips: bool
    ) -> Iterator[tuple[CachedCase, NDArray[np.uint8], NDArray[np.uint8]]]:
        """The cases that can be scored, each with its predicted and its true mask."""
        for case in self.validation if cases is None else cases:
            if case.mask is None or self._is_broken(case):
                continue
            try:
                check_files(case)
                check_values(case, case.image, case.mask)
            except BrokenCaseError as error:
                self._broken.append((case, RejectedCase(case.name, str(error))))
                continue
            yield case, self._predict(case, flips), case.mask

    def _is_broken(self, case: CachedCase) -> bool:
        return any(case is broken for broken, _ in self._broken)

    def save_state(self, path: Path) -> None:
        """Atomically write what a restart needs besides the weights: the optimiser's state."""
        write_bytes_atomic(path, lambda stream: torch.save({"optimiser": self._optimiser.state_dict()}, stream))

    def load_state(self, path: Path) -> None:
        """Take up a saved state. Raises: UpdateError if it is not of this network or not a state at all."""
        try:
            state = read_checkpoint(path, self.device)
            self._optimiser.load_state_dict(state["optimiser"])
        except (DamagedFileError, OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
            why = str(error).splitlines()[0]
            raise UpdateError(f"{path} is not a training state of this network: {why}") from None

    def forget_state(self) -> None:
        """Begin anew with an optimiser that knows nothing."""
        self._optimiser = self._new_optimiser()

    def _step(self, batch: Batch, learning_rate: float, anchor: list[Tensor]) -> float:
        """One optimiser step; returns the loss. A loss that is not finite changes nothing."""
        images = torch.from_numpy(batch.images).to(self.device, non_blocking=True)
        masks = torch.from_numpy(batch.masks).to(self.device, non_blocking=True)
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate
        self._optimiser.zero_grad(set_to_none=True)
        mixed = self.settings.mixed_precision and self.device.type == "cuda"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=mixed):
            outputs = self.network.forward_deep(images)
        outputs = outputs if self.settings.deep_supervision else outputs[:1]
        loss = self._deep_loss([output.float() for output in outputs], masks)
        value = float(loss.detach())
        if not math.isfinite(value):
            return value
        loss.backward()
        for parameter, start in zip(self.network.parameters(), anchor, strict=False):
            if parameter.grad is not None:  # FedProx: the gradient of mu / 2 * |w - w_received|^2
                parameter.grad.add_(parameter.detach() - start, alpha=self.settings.proximal_mu)
        if self.settings.gradient_clip:
            norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.gradient_clip)
            if not torch.isfinite(norm):
                return math.nan
        self._optimiser.step()
        return value

    def _deep_loss(self, outputs: list[Tensor], masks: Tensor) -> Tensor:
        """The loss at every scale, each scale weighing half of the one above it."""
        shares = [0.5**depth for depth in range(len(outputs))]
        total = sum((share * self._loss(o, masks) for share, o in zip(shares, outputs, strict=True)), torch.zeros(()))
        return total / sum(shares)

    def _loss(self, logits: Tensor, masks: Tensor) -> Tensor:
        loss = self._dice(logits, masks)
        if self.settings.bce_weight:
            loss = loss + self.settings.bce_weight * binary_cross_entropy_with_logits(logits, masks)
        return loss

    def _predict(self, case: CachedCase, flips: bool) -> NDArray[np.uint8]:
        return predict_mask(
            self.network,
            case,
            device=self.device,
            window=self.settings.inference_window,
            flips=flips,
            component_share=self.settings.component_share,
        )

    def _new_optimiser(self) -> torch.optim.Optimizer:
        kind = torch.optim.AdamW if self.settings.optimiser == "adamw" else torch.optim.Adam
        return kind(self.network.parameters(), lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay)


@contextmanager
def _seeded(seed: int, round_number: int, device: torch.device) -> Iterator[None]:
    """Torch's own random numbers (dropout) seeded by site and round, and given back as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(np.random.SeedSequence([seed, round_number]).generate_state(1)[0]))
        yield
