"""A training step of the network `fast`, done in other ways, in processor time of one thread: ratios within one run.

    python benchmarks/steps.py                 # a few minutes, of which compilation takes one
    python benchmarks/steps.py --repeats 1 --steps 2

The ways take turns, so that what else the machine does falls on all of them alike; a ratio is the median over turns.
Writes benchmarks/results/steps.json.

    python benchmarks/steps.py --dice BRATS_MINI       # Dice at equal seconds instead; 12 minutes of one core

Each way that could pay trains from the start that ships for the same processor seconds, batches included, and its
learning rate falls with the seconds that are used. Of the training cases of fold 0, every third is held out for Dice; a
seed draws the batches and chooses which third. The cases of fold 0 itself are not looked at. Writes
benchmarks/results/steps_dice.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import RESULTS, write
from time_to_dice import read_fold
from torch import Tensor, nn

from fedbrats.cli.progress import say
from fedbrats.data.prepare.site_cases import SiteCases
from fedbrats.jobs.start import PHANTOMS, read_start
from fedbrats.model.metrics import summarise
from fedbrats.model.network import SegmentationNetwork
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.loss import choose_loss
from fedbrats.model.training.optimisation import learning_rate_at
from fedbrats.model.training.trainer import Trainer

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
LASTING = (AS_IT_IS, "fused optimiser", "batch of two", "batch of two, fused optimiser", "bfloat16")  # for Dice
WAYS_FOR_DICE = {**WAYS, "batch of two, fused optimiser": {"batch": 2, "optimiser": {"fused": True}}}
THIRDS, LOOKS, MOST_STEPS = 3, 3, 10**6


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="of each way in each turn")
    parser.add_argument("--dice", type=Path, metavar="DATA", help="folder of the cases of experiments/cases.csv")
    parser.add_argument("--ways", nargs="+", choices=LASTING, default=list(LASTING), help="of --dice")
    parser.add_argument("--seconds", type=float, default=60.0, help="of training, each way with --dice (default: 60)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1], help="of --dice (default: 0 1)")
    parser.add_argument("--go-on", action="store_true", help="keep what --out has, and do the rest of --dice")
    parser.add_argument("--out", type=Path, help="(default: benchmarks/results/steps.json, or steps_dice.json)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.dice:
        return compare_dice(args, args.out or RESULTS / "steps_dice.json")
    turns, weights = {}, {}
    for name, way in WAYS.items():
        turns[name], weights[name] = prepared(args.steps, **way)
        say(f"{name}: ready")
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(args.repeats):
        for name, turn in turns.items():
            found[name].append(turn())
    entries = [entry(name, found, weights) for name in WAYS]
    return write(
        args.out or RESULTS / "steps.json", [], {"repeats": args.repeats, "steps": args.steps, "entries": entries}
    )


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


def compare_dice(args: argparse.Namespace, out: Path) -> int:
    """Train in each way for the same seconds, and write Dice."""
    entries = json.loads(out.read_text())["entries"] if args.go_on and out.exists() else []
    done = {(entry["way"], entry["seed"]) for entry in entries}
    with tempfile.TemporaryDirectory() as scratch:
        sites = read_fold(args.dice, 0, Path(scratch))
        for seed in args.seeds:
            for name in args.ways:
                if (name, seed) not in done:
                    found = trained(sites, seed, args.seconds, **WAYS_FOR_DICE[name])
                    entries.append({"way": name, "seed": seed, **found})
                    say(f"{name}, seed {seed}: {found['steps']} steps, Dice {found['dice']['mean']:.4f}")
                    write(out, [], {"seconds": args.seconds, "entries": entries})
    return write(out, [], {"seconds": args.seconds, "entries": entries})


class TimedTrainer(Trainer):
    """Trains for so many processor seconds, and lets the learning rate fall with those that are used."""

    budget_s = 0.0

    def begin(self) -> None:
        """From now on the seconds count."""
        self._began, self._paused_s = time.process_time(), 0.0

    def used(self) -> float:
        """Seconds of training so far."""
        return time.process_time() - self._began - self._paused_s

    def look(self) -> float:
        """Dice on the cases that are held out; its seconds do not count."""
        began = time.process_time()
        dice = summarise(self.evaluation.score(), 4)["dice"]["mean"]
        self._paused_s += time.process_time() - began
        return dice

    def _step(self, batch: Any, learning_rate: float, hooks: Any) -> float:
        return super()._step(batch, learning_rate_at(self.settings, self.used() / self.budget_s), hooks)


def trained(
    sites: list[SiteCases],
    seed: int,
    seconds: float,
    batch: int = 1,
    *,
    optimiser: dict[str, bool] | None = None,
    bfloat16: bool = False,
) -> dict[str, Any]:
    """Steps, and Dice on the cases that are held out after so many processor seconds."""
    cases = [case for site in sites for case in site.training]
    held = [case for number, case in enumerate(cases) if number % THIRDS == seed % THIRDS]
    network = {"preset": "fast", "seed": SEED}
    settings = TrainingSettings(local_steps=MOST_STEPS, batch_size=batch)
    training = [case for case in cases if case not in held]
    trainer = TimedTrainer(network, settings, training, held, seed=seed, device="cpu", threads=1)
    trainer.set_weights(read_start(PHANTOMS, network) or {})
    trainer.budget_s = seconds
    if optimiser:
        trainer.optimisation._optimiser = torch.optim.AdamW(
            trainer.network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, **optimiser
        )
    if bfloat16:
        trainer._precision = torch.bfloat16
    steps, course = 0, []
    trainer.begin()
    for number in range(LOOKS):
        until = seconds * (number + 1) / LOOKS
        steps += trainer.train_round(number, LOOKS, should_stop=lambda: trainer.used() >= until).steps  # noqa: B023
        course.append({"seconds": round(trainer.used(), 1), "dice": trainer.look()})
    dice = summarise(trainer.evaluation.score_finally(), 4)["dice"]
    return {"steps": steps, "patches": steps * batch, "cases": len(held), "dice": dice, "course": course}


if __name__ == "__main__":
    sys.exit(main())
