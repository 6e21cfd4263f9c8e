"""Seconds of training until a validation Dice is reached: ours, and three others on the same cases and cores.

    python benchmarks/time_to_dice.py BRATS_MINI                                  # about an hour
    python benchmarks/time_to_dice.py BRATS_MINI --contenders minute --folds 0    # two minutes

The cases of all sites lie in one place; those of the fold are held out. Every contender trains for its budget in wall
time (validation is not counted), one after the other, with two threads; the others than ours in the first fold only:

    minute      ours, its learning rate falling within one minute
    budget      ours, its learning rate falling within --budget-s
    original    the study's network and loop: full-resolution first stage, Adam, no augmentation, here with Dice + BCE
    segresnet   MONAI SegResNet with 16 filters, which FLARE's own BraTS example trains
    dynunet     MONAI DynUNet, five levels

The last two are trained as the yardstick of the data was: whole volumes, Adam 1e-3, Dice + BCE, mirror images. Ours are
tuned (docs/results/tuning.md) and the others are not: this compares what one gets, not what networks can do.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import DynUNet, SegResNet
from record import RESULTS, Target, write
from torch import Tensor, nn
from torch.nn.functional import pad

from fedbrats.cli.main import main as fedbrats
from fedbrats.cli.progress import say
from fedbrats.data.cases.datalist import find_sites
from fedbrats.data.prepare.cache import CacheSettings
from fedbrats.data.prepare.site_cases import SiteCases, read_site
from fedbrats.errors import DataError
from fedbrats.model.metrics import summarise
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.evaluation import Evaluation
from fedbrats.model.training.optimisation import Optimisation
from fedbrats.model.training.trainer import Trainer

LEVELS = (0.45, 0.60, 0.65)
THREADS = 2
SEED = 0
SIDES = 32  # what every side of a peer's input must be a multiple of
PLAIN = {
    "patch_size": None,
    "optimiser": "adam",
    "learning_rate": 1e-3,
    "schedule": "constant",
    "warmup_share": 0.0,
    "weight_decay": 0.0,
    "gradient_clip": 0.0,
    "intensity": 0.0,
    "noise": 0.0,
    "spatial_share": 0.0,
    "modality_dropout": 0.0,
    "component_share": 0.0,
}


class Peer(nn.Module):
    """A network of MONAI's behind the interface of ours: any size in, one output."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, 3, x, y, z) of images (B, 4, x, y, z)."""
        size = images.shape[2:]
        missing = [-n % SIDES for n in size]
        logits = self.net(pad(images, [n for side in reversed(missing) for n in (0, side)]))
        return logits[..., : size[0], : size[1], : size[2]]

    def forward_deep(self, images: Tensor) -> list[Tensor]:
        """The one output."""
        return [self(images)]


def dynunet() -> nn.Module:
    """Five levels of 16 to 256 filters."""
    kernels, strides = [3] * 5, [1, 2, 2, 2, 2]
    return DynUNet(3, 4, 3, kernels, strides, strides[1:], filters=[16, 32, 64, 128, 256])


def segresnet() -> nn.Module:
    """As in FLARE's example, without dropout."""
    return SegResNet(3, 16, 4, 3, blocks_down=(1, 2, 2, 4), blocks_up=(1, 1, 1))


CONTENDERS: dict[str, tuple[str, dict[str, Any], Callable[[], nn.Module] | None]] = {
    "minute": ("fast", {}, None),
    "budget": ("fast", {}, None),
    "original": ("original", {**PLAIN, "flips": False}, None),
    "segresnet": ("tiny", PLAIN, segresnet),
    "dynunet": ("tiny", PLAIN, dynunet),
}
OURS = ("minute", "budget")
CASES = Path(__file__).parents[1] / "experiments" / "cases.csv"


def main() -> int:
    """Train, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the BraTS cases that experiments/cases.csv names")
    parser.add_argument("--folds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--budget-s", type=float, default=600.0, help="of training, ours (default: 600)")
    parser.add_argument("--others-budget-s", type=float, default=300.0, help="of training, each other (default: 300)")
    parser.add_argument("--go-on", action="store_true", help="keep what --out has, and do the rest")
    parser.add_argument("--out", type=Path, default=RESULTS / "time_to_dice.json")
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    entries: list[dict[str, Any]] = []
    if args.go_on and args.out.exists():
        entries = json.loads(args.out.read_text())["entries"]
    done = {(entry["fold"], entry["contender"]) for entry in entries}
    with tempfile.TemporaryDirectory() as scratch:
        for fold in args.folds:
            sites = read_fold(args.data, fold, Path(scratch))
            for name in args.contenders:
                if (name in OURS or fold == args.folds[0]) and (fold, name) not in done:
                    budget_s = args.budget_s if name in OURS else args.others_budget_s
                    entries.append({"fold": fold, "contender": name, **compete(name, sites, budget_s)})
                    write(args.out, judge(entries), {"seed": SEED, "entries": entries})
    return write(args.out, judge(entries), {"seed": SEED, "entries": entries})


def read_fold(data: Path, fold: int, scratch: Path) -> list[SiteCases]:
    """All sites' prepared cases, the fold's for validation."""
    target = scratch / f"fold-{fold}"
    words = ["--by", f"{CASES}:site", "--fold", str(fold), "--seed", str(SEED), "--out", str(target)]
    if fedbrats(["split", str(data), *words]):
        raise DataError(f"{data} cannot be split")
    return [read_site(site, scratch / "cache", CacheSettings(), workers=2) for site in find_sites(target)]


def compete(name: str, sites: list[SiteCases], budget_s: float) -> dict[str, Any]:
    """One contender's seconds and Dice after each round."""
    preset, changes, peer = CONTENDERS[name]
    budget_s = min(budget_s, 60.0) if name == "minute" else budget_s
    training = [case for site in sites for case in site.training]
    validation = [case for site in sites for case in site.validation]

    def begin(steps: int) -> Trainer:
        settings = TrainingSettings(**{**changes, "local_steps": steps})
        trainer = Trainer({"preset": preset, "seed": SEED}, settings, training, validation, seed=SEED, threads=THREADS)
        if peer:
            torch.manual_seed(SEED)
            network: Any = Peer(peer())
            trainer.network = network
            trainer.optimisation = Optimisation(network, settings, trainer.device, scaled=False)
            trainer.evaluation = Evaluation(network, settings, validation, trainer.device)
        return trainer

    trial = begin(6)
    trial.train_round(0, 10**6)  # caches and pools
    step_s = trial.train_round(1, 10**6).seconds / 6
    steps = max(
        1, round(min(15.0 if name in OURS else 30.0, budget_s / 12) / step_s)
    )  # a round between two validations
    rounds = max(1, round(budget_s / (steps * step_s)))
    trainer, seconds, course = begin(steps), 0.0, []
    began = time.perf_counter()
    for number in range(rounds):
        seconds += trainer.train_round(number, rounds).seconds
        last = name in OURS and number == rounds - 1
        scores = trainer.evaluation.score_finally() if last else trainer.evaluation.score()
        course.append({"seconds": round(seconds, 1), "dice": round(summarise(scores)["dice"]["mean"], 4)})
        say(f"{name}: {seconds:.0f} of {budget_s:.0f} s, Dice {course[-1]['dice']:.3f}")
        if seconds > 1.3 * budget_s:
            break
    reached = {f"{level:.2f}": first_at(course, level) for level in LEVELS}
    best = max(course, key=lambda point: point["dice"])
    parameters = sum(parameter.numel() for parameter in trainer.network.parameters())
    whole = round(time.perf_counter() - began, 1)
    numbers = {
        "budget_s": budget_s,
        "parameters": parameters,
        "step_seconds": round(step_s, 4),
        "seconds_with_validation": whole,
    }
    return {**numbers, "seconds_to": reached, "best": best, "course": course}


def first_at(course: list[dict[str, float]], level: float) -> float | None:
    """The seconds after which a Dice is first reached."""
    return next((point["seconds"] for point in course if point["dice"] >= level), None)


def judge(entries: list[dict[str, Any]]) -> list[Target]:
    """How many times faster ours is at 0.60 than each other (at least, where that never got there), and our best."""
    targets = []
    for fold in sorted({entry["fold"] for entry in entries}):
        own = {entry["contender"]: entry for entry in entries if entry["fold"] == fold}
        ours = min((own[n]["seconds_to"]["0.60"] or float("inf") for n in OURS if n in own), default=float("inf"))
        for name in (name for name in own if name not in OURS):
            theirs = own[name]["seconds_to"]["0.60"] or own[name]["course"][-1]["seconds"]
            targets.append(
                Target(f"times_faster_than_{name}_fold_{fold}", 10.0, round(theirs / ours, 2), at_least=True)
            )
    budgets = [entry for entry in entries if entry["contender"] == "budget"]
    if budgets:
        best = sum(entry["best"]["dice"] for entry in budgets) / len(budgets)
        last = sum(entry["course"][-1]["dice"] for entry in budgets) / len(budgets)  # chosen by nothing
        targets.append(Target("best_dice_mean_over_folds", 0.72, round(best, 4), at_least=True))
        targets.append(Target("last_dice_mean_over_folds", 0.72, round(last, 4), at_least=True))
    return targets


if __name__ == "__main__":
    sys.exit(main())
