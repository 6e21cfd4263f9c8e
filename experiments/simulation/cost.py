"""What weighing costs a server in one round: milliseconds, and megabytes beyond the updates themselves."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import numpy as np

from fedbrats.federation.factor.contribution import FactorSettings, Memory, weigh
from fedbrats.federation.gates import Contribution

LAYERS = 20  # tensors in the model; one of them holds half of its numbers


def measure(sites: int, numbers: int, sketched: bool) -> dict[str, Any]:
    """Weigh one round of `sites` random updates of `numbers` float32 each; the best of three times."""
    rng = np.random.default_rng(0)
    sizes = [numbers // 2, *[numbers // 2 // (LAYERS - 1)] * (LAYERS - 1)]
    common = {f"layer-{i:02d}": rng.standard_normal(size, dtype=np.float32) for i, size in enumerate(sizes)}
    answers = [
        Contribution(f"site-{i:02d}", 1, 10, 1, {name: part + _noise(part, rng) for name, part in common.items()})
        for i in range(sites)
    ]
    settings = FactorSettings(sketched=sketched)
    seconds = min(_time(answers, settings) for _ in range(3))
    tracemalloc.start()
    weigh(answers, Memory(), 1, settings)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "sites": sites,
        "numbers": numbers,
        "cosines": "sketched" if sketched else "exact",
        "milliseconds": round(1000.0 * seconds, 1),
        "peak_megabytes": round(peak / 1e6, 1),
    }


def _noise(like: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(like.shape, dtype=np.float32)


def _time(answers: list[Contribution], settings: FactorSettings) -> float:
    start = time.perf_counter()
    weigh(answers, Memory(), 1, settings)
    return time.perf_counter() - start
