"""Dice at an epsilon against the number of patients: a federation of phantoms, drawn in memory, in one process.

The network `tiny` (5479 numbers) learns from random weights, so that all of its Dice comes from the patients: with a
start from phantoms there would be nothing left to learn. Every site has as many patients; none is in two federations.
A run is added to the results; one that is there already is not made again.

example:
  python experiments/private_phantoms.py --patients 25 50 100 200 400 --out experiments/results/private_phantoms.json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from private import DELTA, NO_NOISE, dice, federate

from fedbrats.atomic import write_json_atomic
from fedbrats.data.phantom.stream import PhantomStream
from fedbrats.data.prepare.cache import CachedCase
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.trainer import Trainer
from fedbrats.privacy.accounting import PrivateSteps, epsilon, solve_noise
from fedbrats.privacy.settings import PrivacySettings

NETWORK = {"preset": "tiny", "seed": 0}
PATCH = (16, 16, 16)
VALIDATION_SEED, VALIDATION_CASES = 10**6, 40
FEDERATION = ("sites", "rounds", "steps", "rate", "clip", "learning_rate", "spacing_mm")


def main() -> None:
    """Train once for every number of patients, epsilon and seed, and keep every result as it comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", nargs="+", type=int, default=[25, 50, 100, 200, 400], help="of all sites")
    parser.add_argument("--epsilons", nargs="+", type=float, default=[math.inf, 8])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    add_federation(parser)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    about = {name: getattr(args, name) for name in FEDERATION}
    document: dict[str, Any] = {
        "command": "python experiments/private_phantoms.py --out PRIVATE_PHANTOMS.JSON",
        "machine": f"{os.cpu_count()} cores",
        "settings": {**about, "delta": DELTA, "network": NETWORK["preset"]},
        "runs": json.loads(args.out.read_text())["runs"] if args.out.exists() else [],
    }
    made = {(run["patients"], run["epsilon"], run["seed"]) for run in document["runs"]}
    for seed in args.seeds:
        for patients in args.patients:
            for wanted in args.epsilons:
                if (patients, None if math.isinf(wanted) else wanted, seed) not in made:
                    document["runs"].append(train(patients, wanted, seed, args))
                    print(document["runs"][-1], flush=True)
                    write_json_atomic(args.out, document)


def add_federation(parser: argparse.ArgumentParser) -> None:
    """The arguments of FEDERATION: the sites, and how they train."""
    parser.add_argument("--sites", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--clip", type=float, default=0.5)
    parser.add_argument("--learning-rate", type=float, default=1e-2)
    parser.add_argument("--spacing-mm", type=float, default=6.0)


@lru_cache(maxsize=16)
def patients_of(seed: int, number: int, patients: int, spacing_mm: float) -> list[CachedCase]:
    """The phantoms of a site, which is most of the time: drawn once for all epsilons of a federation."""
    return PhantomStream(seed, number, spacing_mm=spacing_mm).draw(patients)


def train(patients: int, wanted: float, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """One federation."""
    began = time.perf_counter()
    each, steps = patients // args.sites, args.rounds * args.steps
    noise = NO_NOISE if math.isinf(wanted) else solve_noise(wanted, DELTA, args.rate, steps)
    private = PrivacySettings(dp_noise=noise, dp_clip=args.clip, dp_patches=1, dp_rate=args.rate)
    settings = TrainingSettings(patch_size=PATCH, local_steps=args.steps, learning_rate=args.learning_rate)
    unseen = patients_of(VALIDATION_SEED, VALIDATION_CASES, 0, args.spacing_mm)
    trainers = []
    for site in range(args.sites):
        cases = patients_of(1000 * seed + site, each, patients, args.spacing_mm)
        trainers.append(Trainer(NETWORK, settings, cases, () if site else unseen, seed=seed, threads=1))
    before = trainers[0].get_weights()
    weights = federate(trainers, before, private, args.rounds)
    return {
        "patients": patients,
        "epsilon": None if math.isinf(wanted) else wanted,
        "spent": None if math.isinf(wanted) else epsilon([PrivateSteps(noise, args.rate, steps)], DELTA),
        "noise": 0.0 if math.isinf(wanted) else noise,
        "seed": seed,
        "dice_of_the_start": dice(trainers[:1], before),
        "dice": dice(trainers[:1], weights),
        "seconds": round(time.perf_counter() - began, 1),
    }


if __name__ == "__main__":
    main()
