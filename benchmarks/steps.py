"""A training step of the network `fast`, done in other ways, in processor time of one thread: ratios within one run.

    python benchmarks/steps.py                 # a few minutes, of which compilation takes one
    python benchmarks/steps.py --repeats 1 --steps 2

The ways take turns, so that what else the machine does falls on all of them alike; a ratio is the median over turns.
Writes benchmarks/results/steps.json.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import RESULTS, write
from torch import Tensor, nn

from fedbrats.cli.progress import say
from fedbrats.model.network import SegmentationNetwork
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.loss import choose_loss

SEED, AS_IT_IS = 0, "as it is"
WAYS: dict[str, dict[str, Any]] = {
    AS_IT_IS: {},
    "batch of two": {"batch": 2},
    "channels last": {"channels_last": True},
    "foreach optimiser": {"optimiser": {"foreach": True}},
    "fused optimiser": {"optimiser": {"fused": True}},
    "bfloat16": {"bfloat16": True},
    "compiled": {"compiled": True},
    "compiled, fused optimiser": {"compiled": True, "optimiser": {"fused": True}},
    "compiled, batch of two": {"compiled": True, "batch": 2},
}


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="of each way in each turn")
    parser.add_argument("--out", type=Path, default=RESULTS / "steps.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    turns, weights = {}, {}
    for name, way in WAYS.items():
        turns[name], weights[name] = prepared(args.steps, **way)
        say(f"{name}: ready")
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(args.repeats):
        for name, turn in turns.items():
            found[name].append(turn())
    entries = [entry(name, found, weights) for name in WAYS]
    return write(args.out, [], {"repeats": args.repeats, "steps": args.steps, "entries": entries})


def entry(name: str, found: dict[str, list[float]], weights: dict[str, list[Tensor]]) -> dict[str, Any]:
    """Milliseconds a patch, the ratio to a step as it is, and whether three steps give the same weights bit by bit."""
    ratios = [one / base for one, base in zip(found[name], found[AS_IT_IS], strict=True)]
    return {
        "way": name,
        "ms_a_patch": round(1000 * statistics.median(found[name]), 1),
        "ratio": round(statistics.median(ratios), 3),
        "lowest": round(min(ratios), 3),
        "highest": round(max(ratios), 3),
        "same_bits": all(torch.equal(*pair) for pair in zip(weights[name], weights[AS_IT_IS], strict=True)),
    }


def prepared(
    steps: int,
    batch: int = 1,
    *,
    channels_last: bool = False,
    optimiser: dict[str, bool] | None = None,
    bfloat16: bool = False,
    compiled: bool = False,
) -> tuple[Callable[[], float], list[Tensor]]:
    """A function that makes so many steps and returns processor seconds a patch; the weights after three steps."""
    settings = TrainingSettings()
    network: nn.Module = SegmentationNetwork("fast", SEED).train()
    layout = torch.channels_last_3d if channels_last else torch.contiguous_format
    network.to(memory_format=layout)  # type: ignore[call-overload]
    steps_of = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, **(optimiser or {})
    )
    rng = np.random.default_rng(SEED)
    shape = tuple(settings.patch_size or ())
    images = torch.from_numpy(rng.standard_normal((batch, 4, *shape)).astype(np.float32)).contiguous(
        memory_format=layout
    )
    masks = (images[:, :3] > 1).float()
    loss_of = choose_loss(settings, torch.device("cpu"))
    forward: Callable[[Tensor], Any] = network.forward_deep  # type: ignore[assignment]
    if compiled:
        forward = torch.compile(forward)

    def step() -> None:
        steps_of.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            outputs = forward(images)
        loss = loss_of([output.float() for output in outputs], masks)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.gradient_clip or float("inf"))
        steps_of.step()

    def turn() -> float:
        began = time.process_time()
        for _ in range(steps):
            step()
        return (time.process_time() - began) / steps / batch

    for _ in range(3):
        step()
    return turn, [weight.detach().clone() for weight in network.parameters()]


if __name__ == "__main__":
    sys.exit(main())
