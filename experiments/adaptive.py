"""Every rule of a server against every attack, adaptive ones too, on quadratic hospitals: two minutes of two cores.

    python experiments/adaptive.py [--seeds 10] [--out experiments/results/adaptive.json]

Writes the rows as JSON and prints the table of docs/results/attacks.md. The rules are the classes that a job names,
behind the gates and the clip of a job; the adaptive attacks are those of `--misbehave`. SCAFFOLD, FedDyn, Ditto and
FedRep change what sites do and are not in it.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from scipy import stats
from simulation.command import run_command
from simulation.quadratics import LAYERS, SIZE, Setting, as_layers, as_vector, excess, found

from fedbrats.federation import gates
from fedbrats.federation.aggregator import Aggregator
from fedbrats.federation.gates import Contribution, Expectation
from fedbrats.methods.contribution import ContributionFactor
from fedbrats.methods.fedavg import WeightedFedAvg
from fedbrats.methods.geometric_median import GeometricMedian
from fedbrats.methods.multi_krum import MultiKrum
from fedbrats.methods.robust_means import CoordinateMedian, TrimmedMean
from fedbrats.methods.server_optimisers import FedAdam, FedYogi
from fedbrats.misbehaviour.adaptive import ADAPTIVE_ATTACKS, Adversary
from fedbrats.misbehaviour.updates import UPDATE_CORRUPTIONS, corrupt_update
from fedbrats.report.markdown import markdown_table

SETTING = Setting(sites=5, noise=0.05)
CLIP = 2.0  # median lengths, the job's default
RATE = 0.003  # of the adaptive servers: a round of this size is about a tenth of the way
METHODS: Mapping[str, Callable[[], Aggregator]] = {
    "FedAvg": WeightedFedAvg,
    "median": CoordinateMedian,
    "trimmed mean": TrimmedMean,
    "geometric median": GeometricMedian,
    "multi-Krum": MultiKrum,
    "FedAdam": lambda: FedAdam(rate=RATE, tau=1e-4),
    "FedYogi": lambda: FedYogi(rate=RATE, tau=1e-4),
    "Contribution Factor": lambda: ContributionFactor(min_clients=2),
}
HONEST = "nobody"
FIXED = tuple(kind for kind in UPDATE_CORRUPTIONS if kind != "nan")
ATTACKS = (HONEST, *FIXED, *ADAPTIVE_ATTACKS, *(f"{kind}, two sites" for kind in ADAPTIVE_ATTACKS))


def play(method: Aggregator, attack: str, seed: int) -> float:
    """The share of the honest sites' avoidable loss that is left after the last round; infinite where it broke."""
    rng = np.random.default_rng(seed)
    hospitals = found(SETTING, rng)
    kind, _, two = attack.partition(", ")
    troubled = [] if attack == HONEST else [each.name for each in hospitals[-2 if two else -1 :]]
    adversaries = {name: Adversary(kind, name) for name in troubled if kind in ADAPTIVE_ATTACKS}
    registered = {each.name: each.cases for each in hospitals}
    model = np.zeros(SIZE)
    for number in range(SETTING.rounds):
        expected = Expectation(dict(LAYERS), number, registered)
        offered = []
        for each in hospitals:
            own = each.train(model, rng)
            gain = each.dice(model + own) - each.dice(model) + 0.01 * float(rng.standard_normal())
            sent = as_layers(own)
            if each.name in adversaries:
                sent = adversaries[each.name].corrupt(sent, as_layers(model), number)
            elif each.name in troubled:
                sent = corrupt_update(sent, kind, seed=zlib.crc32(f"{each.name} {number}".encode()))
            offered.append(Contribution(each.name, number, each.cases, 1, sent, gain))
        counted = [each for each in offered if not gates.check(each, expected, set())]
        counted, _, _ = gates.clip_to_median(counted, CLIP)
        model = model + as_vector(dict(method.combine(counted, number).update))
        if not np.isfinite(model).all():
            return float("inf")
    return excess(model, [each for each in hospitals if each.name not in troubled])


def measure(method: str, attack: str, seeds: int) -> dict[str, Any]:
    """One row: the mean loss left over seeds, and its 95% interval by Student's t."""
    losses = np.array([play(METHODS[method](), attack, seed) for seed in range(seeds)])
    mean = float(losses.mean())
    half = float(stats.t.ppf(0.975, seeds - 1) * stats.sem(losses))
    return {"method": method, "attack": attack, "loss": mean, "half": half, "worst": float(losses.max())}


def as_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table: attacks down, methods across."""
    cells = {(row["attack"], row["method"]): f"{100 * row['loss']:.1f} ± {100 * row['half']:.1f}" for row in rows}
    return markdown_table(
        ["attack", *METHODS], [[each, *(cells[each, method] for method in METHODS)] for each in ATTACKS]
    )


def measure_all(seeds: int) -> dict[str, Any]:
    """Every pair of a rule and an attack."""
    pairs = [(method, attack, seeds) for method in METHODS for attack in ATTACKS]
    with ProcessPoolExecutor() as pool:
        rows = list(pool.map(measure, *zip(*pairs, strict=True)))
    return {"setting": vars(SETTING), "rows": rows}


if __name__ == "__main__":
    sys.exit(run_command("adaptive", str(__doc__), measure_all, lambda document: as_markdown(document["rows"])))
