"""Canaries: phantoms with a wrong mask, put by chance into one site's training data, and what a model tells of them.

Each of `--canaries` phantoms is put in or left out by a coin (Steinke 2023, arXiv:2305.08846). Afterwards they are
ranked by how much their loss fell. The quarter that fell most is guessed to be in, the quarter that fell least to be
out; so many right guesses, or more, are likely only from some epsilon on. That is a lower bound of epsilon at 95 %
confidence, and it must lie below what the ledger says. The exposure (Carlini 2019) is that of a planted canary among
those left out.

Three trainings: the planted ones of the first canaries by heart, by a larger network (the test must find them); the
federation without noise; the same at epsilon 8. A training that is in the results already is not made again. And one
attack on a single update: the cosine of the canary's own gradient with the first update of its site (what a server
sees), and with the mean of all sites (what it sees under pads).

example:
  python experiments/canaries.py --out experiments/results/canaries.json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from private import DELTA, NO_NOISE
from private_phantoms import FEDERATION, NETWORK, PATCH, add_federation, patients_of
from scipy.stats import binom

from fedbrats.atomic import write_json_atomic
from fedbrats.data.prepare.cache import CachedCase
from fedbrats.federation.updates import difference, weighted_mean
from fedbrats.model.network import SegmentationNetwork
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.auditing import learn_by_heart, losses_by_patient
from fedbrats.model.training.private import train_privately
from fedbrats.model.training.trainer import Trainer
from fedbrats.privacy.accounting import PrivateSteps, epsilon, solve_noise
from fedbrats.privacy.membership import measure
from fedbrats.privacy.noise import SecretRandom
from fedbrats.privacy.settings import PrivacySettings

CONTROL = {"preset": "fast", "seed": 0}  # learns by heart what `tiny` is too small for
CANARY_SEED = 2 * 10**6
CONFIDENCE = 0.95
Weights = dict[str, np.ndarray]


def main() -> None:
    """Plant, train three times, rank, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--canaries", type=int, default=80)
    parser.add_argument("--control", type=int, default=20, help="canaries of the training by heart")
    parser.add_argument("--patients", type=int, default=50, help="of all sites, beside the canaries")
    parser.add_argument("--epsilon", type=float, default=8.0)
    parser.add_argument("--seed", type=int, default=0, help="of phantoms and coins")
    add_federation(parser)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    names = ("canaries", "control", "patients", "seed", *FEDERATION)
    document: dict[str, Any] = {
        "command": "python experiments/canaries.py --out CANARIES.JSON",
        "machine": f"{os.cpu_count()} cores",
        "settings": {**{name: getattr(args, name) for name in names}, "delta": DELTA, "network": NETWORK["preset"]},
        "runs": json.loads(args.out.read_text())["runs"] if args.out.exists() else [],
    }
    made = {run["training"] for run in document["runs"]}
    for name, train in {"by heart": by_heart, "without noise": openly, f"epsilon {args.epsilon:g}": privately}.items():
        if name not in made:
            began = time.perf_counter()
            found = train(args)
            document["runs"].append({"training": name, **found, "seconds": round(time.perf_counter() - began, 1)})
            print(document["runs"][-1], flush=True)
            write_json_atomic(args.out, document)


def by_heart(args: argparse.Namespace) -> dict[str, Any]:
    """The control."""
    canaries, coins = draw_canaries(args, args.control)
    network = learn_by_heart(CONTROL, planted_of(canaries, coins), PATCH, seed=0, device="cpu", threads=1)
    return tell(canaries, coins, SegmentationNetwork(**CONTROL), network)


def openly(args: argparse.Namespace) -> dict[str, Any]:
    """The federation without noise."""
    return federated(args, NO_NOISE)


def privately(args: argparse.Namespace) -> dict[str, Any]:
    """The federation with the noise of an epsilon."""
    steps = args.rounds * args.steps
    noise = solve_noise(args.epsilon, DELTA, args.rate, steps)
    spent = epsilon([PrivateSteps(noise, args.rate, steps)], DELTA)
    return {"noise": noise, "epsilon": spent, **federated(args, noise)}


def federated(args: argparse.Namespace, noise: float) -> dict[str, Any]:
    """What the last model and the first update tell."""
    canaries, coins = draw_canaries(args, args.canaries)
    network, first = federate(args, planted_of(canaries, coins), noise)
    told = tell(canaries, coins, SegmentationNetwork(**NETWORK), network)
    return {**told, "one_update": match(canaries, coins, *first)}


def planted_of(canaries: Sequence[CachedCase], coins: np.ndarray) -> list[CachedCase]:
    """The canaries that are put in."""
    return [case for case, coin in zip(canaries, coins, strict=True) if coin]


def draw_canaries(args: argparse.Namespace, number: int) -> tuple[list[CachedCase], np.ndarray]:
    """Phantoms whose mask lies far from their tumour, as no model says that has not seen it; and whether each is in."""
    cases = patients_of(CANARY_SEED + args.seed, number, 0, args.spacing_mm)
    coins = np.random.default_rng([args.seed, 1]).random(number) < 0.5
    rng = np.random.default_rng([args.seed, 2])
    moved = []
    for case in cases:
        shift = [int(side * rng.uniform(0.25, 0.75)) for side in case.mask.shape[1:]]
        moved.append(replace(case, mask=np.ascontiguousarray(np.roll(case.mask, shift, axis=(1, 2, 3)))))
    return moved, coins


def federate(
    args: argparse.Namespace, planted: Sequence[CachedCase], noise: float
) -> tuple[SegmentationNetwork, tuple[Weights, Weights, Weights]]:
    """The last model, and of the first round: the start, the update of the canaries' site, and the mean of all."""
    private = PrivacySettings(dp_noise=noise, dp_clip=args.clip, dp_patches=1, dp_rate=args.rate)
    settings = TrainingSettings(patch_size=PATCH, local_steps=args.steps, learning_rate=args.learning_rate)
    trainers = []
    for site in range(args.sites):
        cases = patients_of(1000 * args.seed + site, args.patients // args.sites, args.patients, args.spacing_mm)
        cases = [*cases, *planted] if site == 0 else cases
        trainers.append(Trainer(NETWORK, settings, cases, (), seed=args.seed, threads=1))
    weights, first = trainers[0].get_weights(), None
    for number in range(args.rounds):
        updates = []
        for trainer in trainers:
            trainer.set_weights(weights)
            train_privately(trainer, private, number, args.rounds, SecretRandom())
            updates.append(difference(trainer.get_weights(), weights))
        mean = weighted_mean(updates, [len(trainer.training) for trainer in trainers])
        first = first or (weights, updates[0], mean)
        weights = {name: weights[name] + mean[name] for name in weights}
    trainers[0].set_weights(weights)
    assert first is not None
    return trainers[0].network, first


def tell(
    canaries: Sequence[CachedCase], coins: np.ndarray, start: SegmentationNetwork, network: SegmentationNetwork
) -> dict[str, Any]:
    """What the model tells of who was in."""
    device = torch.device("cpu")
    before = losses_by_patient(start, canaries, device=device)
    after = losses_by_patient(network, canaries, device=device)
    scores = np.array([before[case.patient] - after[case.patient] for case in canaries])
    found = measure(scores[coins], scores[~coins])
    guesses = 2 * (len(canaries) // 4)
    right = right_guesses(scores, coins, guesses)
    return {
        "auc": found.as_document() if found else None,
        "exposure_bits": mean_exposure(scores[coins], scores[~coins]),
        "most_bits": math.log2(len(scores[~coins]) + 1),
        "guesses": guesses,
        "right": right,
        "epsilon_at_least": least_epsilon(len(canaries), guesses, right, DELTA),
    }


def match(
    canaries: Sequence[CachedCase],
    coins: np.ndarray,
    start: Weights,
    one: Weights,
    mean: Weights,
) -> dict[str, Any]:
    """How well the first update of the site, and that of all sites, tell planted canaries by their gradients."""
    settings = TrainingSettings(patch_size=PATCH, local_steps=1)
    trainer = Trainer(NETWORK, settings, canaries, (), seed=0, threads=1)
    trainer.set_weights(start)
    names = [name for name, each in trainer.network.named_parameters() if each.requires_grad]
    parameters = [each for each in trainer.network.parameters() if each.requires_grad]
    scores: dict[str, list[float]] = {"site": [], "sum": []}
    for number in range(len(canaries)):
        batch = trainer.loader.draw_of([number], 4, np.random.default_rng(number))
        found = torch.autograd.grad(trainer.loss_of(batch, ()), parameters)
        gradient = np.concatenate([each.numpy().ravel() for each in found])
        for what, update in (("site", one), ("sum", mean)):
            moved = np.concatenate([update[name].ravel() for name in names])
            scores[what].append(-float(gradient @ moved / (np.linalg.norm(gradient) * np.linalg.norm(moved))))
    found_by = {what: measure(np.array(own)[coins], np.array(own)[~coins]) for what, own in scores.items()}
    return {what: found.as_document() if found else None for what, found in found_by.items()}


def right_guesses(scores: np.ndarray, coins: np.ndarray, guesses: int) -> int:
    """Right ones of so many guesses: the highest half of them "in", the lowest half "out"."""
    order = np.argsort(scores)
    return int(coins[order[-guesses // 2 :]].sum() + (~coins[order[: guesses // 2]]).sum())


def mean_exposure(planted: np.ndarray, left_out: np.ndarray) -> float:
    """Bits by which a planted canary's rank among those that were left out is better than unknown; 1.44 is chance."""
    ranks = 1 + (left_out[None, :] >= planted[:, None]).sum(axis=1)
    return float(np.mean(math.log2(len(left_out) + 1) - np.log2(ranks)))


def least_epsilon(canaries: int, guesses: int, right: int, delta: float) -> float:
    """The largest epsilon that so many right guesses refute at 95 % confidence; 0 where they refute none."""
    low, high = 0.0, 20.0
    if _chance(canaries, guesses, right, low, delta) > 1 - CONFIDENCE:
        return 0.0
    for _ in range(40):
        middle = (low + high) / 2
        refuted = _chance(canaries, guesses, right, middle, delta) <= 1 - CONFIDENCE
        low, high = (middle, high) if refuted else (low, middle)
    return low


def _chance(canaries: int, guesses: int, right: int, at: float, delta: float) -> float:
    """Of as many right guesses or more, at most, if training has this epsilon and delta (Steinke 2023, theorem 5.2)."""
    each = 1 / (1 + math.exp(-at))
    below = np.cumsum([binom.pmf(right - number, guesses, each) for number in range(1, right + 1)])
    share = max((found / number for number, found in enumerate(below, 1)), default=0.0)
    return min(1.0, float(binom.sf(right - 1, guesses, each)) + share * delta * 2 * canaries)


if __name__ == "__main__":
    main()
