"""What validation costs in a round at each hospital, and what the choice of the best model loses with less of it.

    python benchmarks/validation.py BRATS_MINI                # a few minutes
    python benchmarks/validation.py BRATS_MINI --rounds 2     # to see that it runs

Plain FedAvg of the network `fast` over the hospitals of `experiments/cases.csv`, without FLARE: a site evaluates the
model that it receives and the one that it has trained, as a job does by default. What is counted are seconds of the
processor, with one thread. The best model is chosen as a job chooses it: by the Dice of received models, sites weighed
by their training cases. Writes benchmarks/results/validation.json.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from record import RESULTS, Target, write

from fedbrats.cli.main import main as fedbrats
from fedbrats.cli.progress import say
from fedbrats.data.cases.datalist import find_sites
from fedbrats.data.prepare.cache import CacheSettings
from fedbrats.data.prepare.site_cases import read_site
from fedbrats.data.prepare.soundness import check_files, check_values
from fedbrats.federation.updates import Update, difference, weighted_mean
from fedbrats.model.metrics import CaseScore, score_case, summarise
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.trainer import Trainer
from fedbrats.site.local_site import seed_of_site

CASES = Path(__file__).parents[1] / "experiments" / "cases.csv"
SEED, FOLD, STEPS, ROUNDS = 0, 0, 20, 8
EVERY = (1, 2, 4)  # values of validate_every
DICE_LOST, LESS_AT_EVERY = 0.01, 4


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the BraTS cases that experiments/cases.csv names")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of a site in a round (default: {STEPS})")
    parser.add_argument("--out", type=Path, default=RESULTS / "validation.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "sites"
        words = ["split", str(args.data), "--by", f"{CASES}:site", "--fold", str(FOLD), "--out", str(folder)]
        if fedbrats(words):
            return 1
        sites = [Hospital(path, Path(scratch) / "cache", args.steps) for path in find_sites(folder)]
        curve = federate(sites, args.rounds)
    choices = [choice(curve, every) for every in EVERY]
    lost = choices[0]["dice"] - next(each["dice"] for each in choices if each["every"] == LESS_AT_EVERY)
    numbers = {
        "rounds": args.rounds,
        "steps": args.steps,
        "sites": [site.entry() for site in sites],
        "choices": choices,
    }
    return write(
        args.out, [Target(f"dice_lost_by_choosing_every_{LESS_AT_EVERY}th", DICE_LOST, round(lost, 4))], numbers
    )


class Hospital:
    """A site with its trainer, and the processor seconds of what it does."""

    def __init__(self, folder: Path, cache: Path, steps: int):
        cases = read_site(folder, cache, CacheSettings())
        self.name, self.cases = cases.name, cases
        settings = TrainingSettings(local_steps=steps)
        self.trainer = Trainer(
            {"preset": "fast", "seed": SEED},
            settings,
            cases.training,
            cases.validation,
            seed=seed_of_site(SEED, cases.name),
            device="cpu",
            threads=1,
        )
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def answer(self, weights: Update, number: int, rounds: int) -> tuple[Update, float]:
        """One local round: the update, and the Dice of the model that came."""
        self.trainer.set_weights(weights)
        received = self.timed("received", self.trainer.evaluation.score)
        self.timed("training", lambda: self.trainer.train_round(number, rounds))
        update = difference(self.trainer.get_weights(), weights)
        trained = self.timed("trained", self.trainer.evaluation.score)
        self.split_up(trained)
        return update, summarise(received)["dice"]["mean"]

    def split_up(self, scores: list[CaseScore]) -> None:
        """What of a validation is checking that the files are sound, and what is scoring; the rest is prediction."""

        def check() -> None:
            for case in self.cases.validation:
                check_files(case)
                check_values(case, case.image, case.mask)

        def score() -> None:
            for case in self.cases.validation:
                score_case(case.name, case.patient, case.mask, case.mask)

        self.timed("checking", check)
        self.timed("scoring", score)

    def timed(self, part: str, call: Callable[[], Any]) -> Any:
        """What a call returns; its processor seconds are kept."""
        began = time.process_time()
        found = call()
        self.seconds[part].append(time.process_time() - began)
        return found

    def entry(self) -> dict[str, Any]:
        """Medians over the rounds."""
        of = {part: statistics.median(seconds) for part, seconds in self.seconds.items()}
        validating = of["received"] + of["trained"]
        shares = {
            f"share_every_{every}": round(validating / every / (of["training"] + validating / every), 3)
            for every in EVERY
        }
        return {
            "site": self.name,
            "training_cases": len(self.cases.training),
            "validation_cases": len(self.cases.validation),
            "training_s": round(of["training"], 3),
            "received_s": round(of["received"], 3),
            "trained_s": round(of["trained"], 3),
            "checking_share": round(2 * of["checking"] / validating, 4),
            "scoring_share": round(2 * of["scoring"] / validating, 4),
            **shares,
        }


def federate(sites: list[Hospital], rounds: int) -> list[float]:
    """The Dice of the model that each round began with, sites weighed by their training cases."""
    weights = sites[0].trainer.get_weights()
    counts = [len(site.cases.training) for site in sites]
    curve = []
    for number in range(rounds):
        answers = [site.answer(weights, number, rounds) for site in sites]
        curve.append(sum(n * dice for n, (_, dice) in zip(counts, answers, strict=True)) / sum(counts))
        mean = weighted_mean([update for update, _ in answers], counts)
        weights = {name: weights[name] + mean[name] for name in weights}
        say(f"round {number + 1}/{rounds}: Dice of the model it began with {curve[-1]:.3f}")
    return curve


def choice(curve: list[float], every: int) -> dict[str, Any]:
    """The best model among those that are looked at."""
    seen = [number for number in range(len(curve)) if (number + 1) % every == 0 or number + 1 == len(curve)]
    best = max(seen, key=lambda number: curve[number])
    return {"every": every, "models_looked_at": len(seen), "chosen_of_round": best, "dice": round(curve[best], 4)}


if __name__ == "__main__":
    sys.exit(main())
