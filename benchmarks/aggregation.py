"""What combining a round costs: seconds and peak memory of each rule as sites and parameters grow.

    python benchmarks/aggregation.py                                  # minutes on two cores
    python benchmarks/aggregation.py --sites 5 33 --parameters 1.3    # a look

Every rule is measured against a plain numpy sum of the same updates (float32, one running sum), so that the ratio says
what the rule adds to reading them. Memory is what the rule allocates at its peak, in models of float32. Updates that
would not fit into --memory-gib overlap in one buffer, which favours every rule that reads them once; such entries say
so. What would take longer than --budget-s by the numbers of operations is left out, and said.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, Target, write

from fedbrats.cli.progress import say
from fedbrats.federation.factor.contribution import FactorSettings, Memory, weigh
from fedbrats.federation.gates import Contribution
from fedbrats.federation.robust import coordinate_median
from fedbrats.federation.updates import Update, weighted_mean

SHARES = (0.22, 0.22, 0.11, 0.11, 0.11, 0.06, 0.06, 0.03, 0.03, 0.02, 0.02, 0.01)  # of a U-Net's largest tensors
OVERLAP = 4096  # numbers between the beginnings of two overlapping updates
SECONDS_A_BILLION = {
    "median": 22.0,
    "factor": 0.06,
}  # rough, of K D numbers and of K^2 D products: what --budget-s asks
SKETCH_BYTES = 16 * 1024
SEED = 0


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", nargs="+", type=int, default=[5, 33, 71, 300])
    parser.add_argument("--parameters", nargs="+", type=float, default=[1.3, 4.7, 31.0], help="in millions")
    parser.add_argument("--memory-gib", type=float, default=8.0, help="for the updates (default: 8)")
    parser.add_argument("--budget-s", type=float, default=60.0, help="of one rule at one size (default: 60)")
    parser.add_argument("--repeats", type=int, default=3, help="(default: 3; the first of several is not counted)")
    parser.add_argument("--out", type=Path, default=RESULTS / "aggregation.json")
    args = parser.parse_args()
    entries = []
    for millions in args.parameters:
        for sites in args.sites:
            entries += measure_size(sites, int(millions * 1e6), args)
    means = [entry for entry in entries if entry["rule"] == "weighted mean"]
    sketched = [entry for entry in entries if entry["rule"] == "factor, sketched"]
    targets = [
        Target("weighted_mean_models_held", 2.0, max(entry["models_held"] for entry in means)),
        Target("sketched_factor_models_held_beyond_sketches", 2.0, max(beyond_sketches(entry) for entry in sketched)),
    ]
    return write(args.out, targets, {"seed": SEED, "entries": entries})


def beyond_sketches(entry: dict[str, Any]) -> float:
    """The models that the sketched factor holds, without its 16 kB a site."""
    return entry["models_held"] - entry["sites"] * SKETCH_BYTES / (4 * entry["parameters"])


def measure_size(sites: int, parameters: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Every rule at one size."""
    overlapping = 4 * sites * parameters > args.memory_gib * 2**30
    updates = make_updates(sites, parameters, overlapping)
    answers = [
        Contribution(f"site-{k:03d}", 1, cases=10 + k, steps=80, update=update, usefulness=0.01 * (k % 5))
        for k, update in enumerate(updates)
    ]
    cases = [float(answer.cases) for answer in answers]

    def factor(settings: FactorSettings) -> Callable[[], Any]:
        def combine() -> Any:
            weights, _, _ = weigh(answers, Memory(), 1, settings)
            return weighted_mean(updates, [weights[answer.site] for answer in answers])

        return combine

    numbers = sites * parameters / 1e9
    rules: dict[str, tuple[Callable[[], Any], float]] = {
        "plain sum": (lambda: plain_sum(updates), 0.0),
        "weighted mean": (lambda: weighted_mean(updates, cases), 0.0),
        "factor, sketched": (factor(FactorSettings(sketched=True)), 0.0),
        "factor, exact": (factor(FactorSettings()), SECONDS_A_BILLION["factor"] * numbers * sites),
        "median": (lambda: coordinate_median(updates), SECONDS_A_BILLION["median"] * numbers),
    }
    entries: list[dict[str, Any]] = []
    plain = 0.0
    for rule, (combine, expected_s) in rules.items():
        entry: dict[str, Any] = {"rule": rule, "sites": sites, "parameters": parameters, "overlapping": overlapping}
        if expected_s > args.budget_s:
            entries.append({**entry, "seconds": None, "left_out": f"about {expected_s:.0f} s"})
            continue
        seconds = timed(combine, args.repeats)
        plain = seconds if rule == "plain sum" else plain
        held = peak_bytes(combine) / (4 * parameters)
        entry |= {"seconds": round(seconds, 4), "ratio": round(seconds / plain, 2), "models_held": round(held, 3)}
        entries.append(entry)
        say(f"{sites} sites, {parameters / 1e6:g} M: {rule} {seconds:.3f} s, {held:.2f} models held")
    return entries


def make_updates(sites: int, parameters: int, overlapping: bool) -> list[Update]:
    """Random updates in the shape of a network's tensors."""
    rng = np.random.default_rng(SEED)
    extra = OVERLAP * sites if overlapping else 0
    buffer = rng.standard_normal(parameters + extra, dtype=np.float32)
    lengths = [int(share * parameters) for share in SHARES]
    lengths[0] += parameters - sum(lengths)
    places = np.cumsum([0, *lengths])

    def one(start: int, source: np.ndarray) -> Update:
        return {f"w{i:02d}": source[start + places[i] : start + places[i + 1]] for i in range(len(lengths))}

    if overlapping:
        return [one(OVERLAP * k, buffer) for k in range(sites)]
    return [one(0, np.roll(buffer, 997 * k) + np.float32(0.2) * buffer) for k in range(sites)]


def plain_sum(updates: Sequence[Update]) -> Update:
    """One running float32 sum, the least that any mean must do."""
    total = {name: np.zeros_like(value) for name, value in updates[0].items()}
    for update in updates:
        for name, value in update.items():
            total[name] += value
    return total


def timed(combine: Callable[[], Any], repeats: int) -> float:
    """The median of the repeats after the first; the only one where it takes long."""
    spans = []
    for _ in range(max(1, repeats)):
        began = time.perf_counter()
        combine()
        spans.append(time.perf_counter() - began)
        if spans[0] > 5.0:
            break
    return statistics.median(spans[1:] or spans)


def peak_bytes(combine: Callable[[], Any]) -> int:
    """What numpy holds at the peak, beyond the updates."""
    tracemalloc.start()
    try:
        combine()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


if __name__ == "__main__":
    sys.exit(main())
