"""From a loss to changed weights: gradients, their clipping, the optimiser and its state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fedbrats.array_files import read_checkpoint
from fedbrats.atomic import write_bytes_atomic
from fedbrats.errors import DamagedFileError, UpdateError
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.hooks import StepHook

OPTIMISER_CLASSES = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
# PyTorch begins at 65536, and each overflow halves it and loses a step: a round may have few.
FIRST_SCALE = 2.0**12
JOINED = "joined"


def learning_rate_at(settings: TrainingSettings, progress: float) -> float:
    """The learning rate when `progress`, from 0 to 1, of the whole job is done, whichever site or round that is in."""
    warmth = min(1.0, (progress + 1e-3) / settings.warmup_share) if settings.warmup_share else 1.0
    fall = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))) if settings.schedule == "cosine" else 1.0
    return settings.learning_rate * warmth * fall


class Optimisation:
    """An optimiser of a network's parameters that lives across rounds.

    Args:
        scaled: whether the loss is scaled while gradients are computed, as float16 needs it.
    """

    def __init__(self, network: nn.Module, settings: TrainingSettings, device: torch.device, *, scaled: bool) -> None:
        self._network = network
        self._settings = settings
        self._device = device
        self._scaled = scaled
        self.reset()

    def reset(self) -> None:
        """Begin anew with an optimiser that knows nothing."""
        settings = self._settings
        self._optimiser = OPTIMISER_CLASSES[settings.optimiser](
            self._network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._scaler = torch.amp.GradScaler(self._device.type, FIRST_SCALE, enabled=self._scaled)

    def step(self, loss: Tensor, learning_rate: float, hooks: Sequence[StepHook] = ()) -> bool:
        """Change the weights by one step; returns False, and changes none, where a gradient is not finite."""
        self._set_rate(learning_rate)
        self._optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimiser)
        for hook in hooks:
            hook.change_gradient(self._network)
        if not self._clip():
            if self._scaled:
                self._scaler.update()  # to a smaller scale
            return False
        self._scaler.step(self._optimiser)
        self._scaler.update()
        for hook in hooks:
            hook.after_step(self._network)
        return True

    def apply(self, learning_rate: float, hooks: Sequence[StepHook] = ()) -> None:
        """Change the weights by the gradients that the parameters hold, as they are."""
        self._set_rate(learning_rate)
        for hook in hooks:
            hook.change_gradient(self._network)
        self._optimiser.step()
        for hook in hooks:
            hook.after_step(self._network)

    def _set_rate(self, learning_rate: float) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate

    def state(self) -> dict[str, Any]:
        """What a restart needs besides the weights, for `torch.save`."""
        state = {"optimiser": self._optimiser.state_dict()}
        if self._scaled:
            state["scaler"] = self._scaler.state_dict()
        return state

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` gave. Raises: ValueError, LookupError or TypeError where it is of another network."""
        self._optimiser.load_state_dict(state["optimiser"])
        if self._scaled and "scaler" in state:
            self._scaler.load_state_dict(state["scaler"])

    def packed(self) -> dict[str, Any]:
        """A copy of what a restart needs besides the weights."""
        state = self.state()
        return {**state, "optimiser": join_moments(state["optimiser"])}

    def unpack(self, packed: Mapping[str, Any]) -> None:
        """Take up what `packed` gave. Raises: as `load_state` and `part_moments`."""
        self.load_state({**packed, "optimiser": part_moments(packed["optimiser"])})

    @property
    def nbytes(self) -> int:
        """The bytes of the optimiser's moments."""
        return sum(value.nbytes for moments in self._optimiser.state.values() for value in moments.values())

    def save(self, path: Path) -> None:
        """Atomically write what a restart needs besides the weights."""
        document = self.packed()
        write_bytes_atomic(path, lambda stream: torch.save(document, stream))

    def load(self, path: Path) -> None:
        """Take up a saved state. Raises: UpdateError if it is not of this network or not a state at all."""
        try:
            self.unpack(read_checkpoint(path, self._device))
        except (DamagedFileError, OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
            why = str(error).splitlines()[0]
            raise UpdateError(f"{path} is not a training state of this network: {why}") from None

    def _clip(self) -> bool:
        """Clip the gradient where the settings say so; whether it is finite."""
        norm = torch.nn.utils.clip_grad_norm_(self._network.parameters(), self._settings.gradient_clip or math.inf)
        return bool(torch.isfinite(norm))


def join_moments(state: Mapping[str, Any]) -> dict[str, Any]:
    """An optimiser's state with one tensor a kind, where `torch.save` would take its time for each of many."""
    moments = state["state"]
    kinds = sorted({kind for each in moments.values() for kind in each})
    shapes = {kind: {number: list(each[kind].shape) for number, each in moments.items()} for kind in kinds}
    joined = {kind: torch.cat([each[kind].reshape(-1) for each in moments.values()]) for kind in kinds}
    return {"param_groups": state["param_groups"], JOINED: joined, "shapes": shapes}


def part_moments(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `join_moments` was given; a state that is not joined, as earlier versions kept it, stays as it is.

    Raises: ValueError, LookupError, TypeError or RuntimeError where the numbers do not fill the shapes.
    """
    if JOINED not in state:
        return state
    moments: dict[int, dict[str, Tensor]] = {}
    for kind, shapes in state["shapes"].items():
        parts = state[JOINED][kind].split([math.prod(shape) for shape in shapes.values()])
        for (number, shape), part in zip(shapes.items(), parts, strict=True):
            moments.setdefault(number, {})[kind] = part.reshape(shape).clone()
    return {"state": moments, "param_groups": state["param_groups"]}
