"""Dice against epsilon: differentially private training in rounds from a start, in one process, without FLARE.

The sites train norms and head of the network as the job fine_tuned_dp does, each by its own noise, and the server takes
the mean by cases. `inf` clips and adds no noise.

example:
  fedbrats split BRATS_MINI --by experiments/cases.csv:site --fold 0 --out SITES
  python experiments/private.py SITES --start START.safetensors --out experiments/results/private.json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedbrats.array_files import write_arrays
from fedbrats.atomic import write_json_atomic
from fedbrats.data.cases.datalist import find_sites
from fedbrats.data.prepare.cache import CacheSettings
from fedbrats.data.prepare.site_cases import SiteCases, read_site
from fedbrats.federation.updates import difference, weighted_mean
from fedbrats.jobs.start import read_start
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.private import train_privately
from fedbrats.model.training.trainer import Trainer
from fedbrats.privacy.accounting import PrivateSteps, epsilon, solve_noise
from fedbrats.privacy.noise import SecretRandom
from fedbrats.privacy.settings import PrivacySettings

NETWORK = {"preset": "fast", "seed": 0}
DELTA = 1e-3
NO_NOISE = 1e-9


def main() -> None:
    """Train once for every epsilon and seed, and keep every result as it comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sites", type=Path)
    parser.add_argument("--start", required=True)
    parser.add_argument("--epsilons", nargs="+", type=float, default=[math.inf, 100, 32, 16, 8])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--patches", type=int, default=2)
    parser.add_argument("--clip", type=float, default=0.5)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--trainable", default="norm,head")
    parser.add_argument("--spacing-mm", type=float, default=2.0)
    parser.add_argument("--cache", type=Path, default=Path("build/cache"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save", type=Path, metavar="DIR", help="keep the last model of every run there")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    preparation = CacheSettings.from_json({"spacing_mm": args.spacing_mm})
    sites = [read_site(site, args.cache, preparation) for site in find_sites(args.sites)]
    sites = [site for site in sites if site.training]
    about = {name: getattr(args, name) for name in ("rounds", "steps", "patches", "clip", "learning_rate", "trainable")}
    document: dict[str, Any] = {
        "command": f"python experiments/private.py SITES --start {Path(args.start).name}",
        "machine": f"{os.cpu_count()} cores",
        "settings": {**about, "delta": DELTA, "rate": 1.0},
        "patients": {site.name: len({case.patient for case in site.training}) for site in sites},
        "runs": json.loads(args.out.read_text())["runs"] if args.out.exists() else [],
    }
    for seed in args.seeds:
        for wanted in args.epsilons:
            known = document["runs"][0]["dice_of_the_start"] if document["runs"] else None
            document["runs"].append(train(sites, wanted, seed, args, known))
            print(document["runs"][-1], flush=True)
            write_json_atomic(args.out, document)


def train(
    sites: Sequence[SiteCases], wanted: float, seed: int, args: argparse.Namespace, known: dict[str, float] | None
) -> dict[str, Any]:
    """One federation. known: the Dice of the start, where a run before has found it."""
    began = time.perf_counter()
    steps = args.rounds * args.steps
    noise = NO_NOISE if math.isinf(wanted) else solve_noise(wanted, DELTA, 1.0, steps)
    private = PrivacySettings(dp_noise=max(noise, NO_NOISE), dp_clip=args.clip, dp_patches=args.patches)
    settings = TrainingSettings(local_steps=args.steps, learning_rate=args.learning_rate, trainable=args.trainable)
    trainers = [
        Trainer(NETWORK, settings, site.training, site.validation, seed=seed, threads=args.threads) for site in sites
    ]
    weights = read_start(args.start, NETWORK)
    assert weights is not None
    before = known or dice(trainers, weights)
    weights = federate(trainers, weights, private, args.rounds)
    if args.save:
        write_arrays(args.save / f"epsilon-{wanted:g}-{seed}.npz", weights)
    spent = None if math.isinf(wanted) else epsilon([PrivateSteps(noise, 1.0, steps)], DELTA)
    return {
        "epsilon": None if math.isinf(wanted) else wanted,
        "spent": spent,
        "noise": 0.0 if math.isinf(wanted) else noise,
        "seed": seed,
        "dice_of_the_start": before,
        "dice": dice(trainers, weights),
        "seconds": round(time.perf_counter() - began, 1),
    }


def federate(
    trainers: Sequence[Trainer], weights: dict[str, np.ndarray], private: PrivacySettings, rounds: int
) -> dict[str, np.ndarray]:
    """The model after so many rounds: the mean by cases of what each site trained by its own noise."""
    for number in range(rounds):
        updates = []
        for trainer in trainers:
            trainer.set_weights(weights)
            train_privately(trainer, private, number, rounds, SecretRandom())
            updates.append(difference(trainer.get_weights(), weights))
        mean = weighted_mean(updates, [len(trainer.training) for trainer in trainers])
        weights = {name: weights[name] + mean[name] for name in weights}
    return weights


def dice(trainers: Sequence[Trainer], weights: dict[str, np.ndarray]) -> dict[str, float]:
    """Mean Dice over all validation cases, by region and their mean."""
    scores = []
    for trainer in trainers:
        trainer.set_weights(weights)
        scores += trainer.evaluation.score()
    regions = {region: float(np.mean([score.dice[region] for score in scores])) for region in scores[0].dice}
    return {**regions, "mean": float(np.mean(list(regions.values()))), "cases": len(scores)}


if __name__ == "__main__":
    main()
