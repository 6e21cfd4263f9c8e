"""Where the time goes in training, preparation and aggregation, and what the floor is.

    python benchmarks/profiles.py BRATS_FULL

Floors are of this machine, measured in the same run: how fast two threads multiply matrices (for the operations of a
training step), how fast one thread unpacks and reads the files (for preparation), and how fast one thread sums arrays
(for aggregation). Where the code was once different, the old way is measured beside the new one.
"""

from __future__ import annotations

import argparse
import cProfile
import gzip
import pstats
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import RESULTS, write
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from fedbrats.cli.progress import say
from fedbrats.data.cases.case import Case, find_cases
from fedbrats.data.check.checks import examine_case
from fedbrats.data.check.conventions import settle_convention
from fedbrats.data.prepare.cache import CachedCase, CacheSettings, prepare_case
from fedbrats.federation.updates import Update, weighted_mean
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.trainer import Trainer

THREADS, SEED, STEPS = 2, 0, 40
WAYS = ("as it is", "one thread", "batch of two", "channels last", "compiled", "bfloat16", "as it is, again")
OPERATORS = {  # first that matches
    "convolution, backward": ("convolution_backward",),
    "convolution": ("convolution", "mkldnn", "slow_conv", "conv3d"),
    "normalisation": ("norm",),
    "optimiser": ("adam", "addcmul", "addcdiv", "_foreach", "lerp"),
    "activation": ("prelu", "relu"),
    "concatenation and copies": ("cat", "copy", "clone", "fill", "zero"),
}
FUNCTIONS = {  # of the preparation, by a part of the file's or function's name
    "reading and unpacking files": ("decompress", "'read' of", "_io", "zlib", "indexed_gzip"),
    "checksums of files": ("sha256", "hash"),
    "resampling": ("csr", "_matmul", "sparse"),
    "nibabel and conversion": ("nibabel", "astype"),
    "writing": ("fsync", "write", "crc32"),
}


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, help="a folder of full-size cases with segmentations")
    parser.add_argument("--out", type=Path, default=RESULTS / "profiles.json")
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    cases = find_cases(args.cases)
    with tempfile.TemporaryDirectory() as scratch:
        preparation = profile_preparation(cases, Path(scratch))
        training = profile_training(cases, Path(scratch))
    return write(args.out, [], {"training": training, "preparation": preparation, "aggregation": profile_aggregation()})


def profile_training(cases: list[Case], cache: Path) -> dict[str, Any]:
    """Shares of a step by operator, its operations, and how long a matrix product of as many takes."""
    convention = settle_convention({case.name: examine_case(case).labels or {} for case in cases}).convention
    prepared = [prepare_case(case, convention, cache, CacheSettings(spacing_mm=2.0)) for case in cases]
    settings = TrainingSettings(local_steps=STEPS)
    ways = {way: step_ms(way, prepared) for way in WAYS}
    trainer = Trainer({"preset": "fast", "seed": SEED}, settings, prepared, seed=SEED, threads=THREADS)
    trainer.train_round(0, 10)
    plain = trainer.train_round(1, 10)
    with profile(activities=[ProfilerActivity.CPU]) as watched:
        trainer.train_round(2, 10)
    shares: dict[str, float] = defaultdict(float)
    for event in watched.key_averages():
        name = event.key.lower()
        group = next((g for g, words in OPERATORS.items() if any(word in name for word in words)), "everything else")
        shares[group] += event.self_cpu_time_total
    total = sum(shares.values())
    images = torch.zeros(1, 4, *settings.patch_size)  # type: ignore[misc]
    with FlopCounterMode(display=False) as counter:
        trainer.network(images).sum().backward()
    flops = float(counter.get_total_flops())
    step_s, peak = plain.seconds / plain.steps, matrix_flops()
    say(f"training: {1000 * step_s:.0f} ms a step, {flops / 1e9:.1f} GFLOP")
    return {
        "step_ms": round(1000 * step_s, 1),
        "gflop_a_step": round(flops / 1e9, 2),
        "gflops_of_a_matrix_product": round(peak / 1e9, 1),
        "floor_ms": round(1000 * flops / peak, 1),
        "times_the_floor": round(step_s * peak / flops, 2),
        "waiting_share": round(plain.seconds_waiting / plain.seconds, 5),
        "shares": {name: round(value / total, 3) for name, value in sorted(shares.items(), key=lambda i: -i[1])},
        "ms_a_patch_other_ways": {way: round(value, 1) for way, value in ways.items()},
    }


def step_ms(way: str, prepared: list[CachedCase]) -> float:
    """Milliseconds a patch and step, the median of three rounds, when a step is done another way."""
    settings = TrainingSettings(local_steps=STEPS, batch_size=2 if way == "batch of two" else 1)
    threads = 1 if way == "one thread" else THREADS
    trainer = Trainer({"preset": "fast", "seed": SEED}, settings, prepared, seed=SEED, threads=threads)
    forward = trainer.network.forward_deep

    def in_bfloat16(images: torch.Tensor) -> list[torch.Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            return [output.float() for output in forward(images)]

    if way == "bfloat16":
        trainer.network.forward_deep = in_bfloat16  # type: ignore[method-assign]
    if way == "compiled":
        trainer.network.forward_deep = torch.compile(forward)  # type: ignore[method-assign]
    if way == "channels last":
        trainer.network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    trainer.train_round(0, 10)  # compiles, and fills caches and pools
    rounds = [trainer.train_round(number, 10) for number in (1, 2, 3)]
    torch.set_num_threads(THREADS)
    value = statistics.median(1000 * each.seconds / each.steps for each in rounds) / settings.batch_size
    say(f"{way}: {value:.1f} ms a patch")
    return value


def matrix_flops() -> float:
    """Operations a second of a large float32 matrix product."""
    a, b = torch.rand(1024, 1024), torch.rand(1024, 1024)
    return 2 * 1024**3 / timed(lambda: a @ b, 20)


def profile_preparation(cases: list[Case], scratch: Path) -> dict[str, Any]:
    """Seconds a case by kind of function, and the floor: unpacking its files once."""
    convention = settle_convention({case.name: examine_case(case).labels or {} for case in cases}).convention

    def prepare(target: Path) -> None:
        for case in cases:
            prepare_case(case, convention, target, CacheSettings(spacing_mm=2.0))

    prepare(scratch / "first")  # imports and the disk's cache
    began = time.perf_counter()
    prepare(scratch / "second")
    seconds = (time.perf_counter() - began) / len(cases)
    watched = cProfile.Profile()
    watched.runcall(prepare, scratch / "third")
    shares: dict[str, float] = defaultdict(float)
    for (file, _, function), (_, _, own, _, _) in pstats.Stats(watched).stats.items():  # type: ignore[attr-defined]
        name = f"{file} {function}".lower()
        group = next((g for g, words in FUNCTIONS.items() if any(word in name for word in words)), "numpy and the rest")
        shares[group] += own
    total = sum(shares.values())
    began = time.perf_counter()
    for case in cases:
        for path in (*case.images.values(), case.label):
            if path:
                content = path.read_bytes()
                _ = gzip.decompress(content) if path.suffix == ".gz" else content
    floor = (time.perf_counter() - began) / len(cases)
    say(f"preparation: {seconds:.2f} s a case, of which unpacking alone takes {floor:.2f} s")
    return {
        "seconds_a_case": round(seconds, 3),
        "floor_s": round(floor, 3),
        "times_the_floor": round(seconds / floor, 2),
        "shares": {name: round(value / total, 3) for name, value in sorted(shares.items(), key=lambda i: -i[1])},
    }


def profile_aggregation() -> dict[str, Any]:
    """The weighted mean of five models of 4.7 M, a plain float32 sum, and the float64 model that it once held."""
    rng = np.random.default_rng(SEED)
    updates = [{"w": rng.standard_normal(4_700_000, dtype=np.float32)} for _ in range(5)]
    weights = [1.0, 2.0, 3.0, 4.0, 5.0]
    now = timed(lambda: weighted_mean(updates, weights), 7)
    before = timed(lambda: running_sum(updates, weights), 7)
    floor = timed(lambda: plain_sum(updates), 7)
    say(f"aggregation: {1000 * now:.0f} ms, {1000 * before:.0f} ms before, plain sum {1000 * floor:.0f} ms")
    return {
        "ms": round(1000 * now, 1),
        "ms_before": round(1000 * before, 1),
        "plain_float32_sum_ms": round(1000 * floor, 1),
        "gb_read": round(sum(update["w"].nbytes for update in updates) / 1e9, 3),
        "times_the_floor": round(now / floor, 2),
    }


def running_sum(updates: Sequence[Update], weights: Sequence[float]) -> np.ndarray:
    """The mean as it was once taken: one float64 model, every update widened whole."""
    total = np.zeros(updates[0]["w"].shape)
    for update, weight in zip(updates, weights, strict=True):
        total += weight * np.asarray(update["w"], dtype=np.float64)
    return (total / sum(weights)).astype(np.float32)


def plain_sum(updates: Sequence[Update]) -> np.ndarray:
    """The least that any mean must do."""
    total = np.zeros_like(updates[0]["w"])
    for update in updates:
        total += update["w"]
    return total


def timed(call: Callable[[], Any], repeats: int) -> float:
    """The median seconds of a call, after one that is not counted."""
    spans = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        call()
        spans.append(time.perf_counter() - began)
    return statistics.median(spans[1:])


if __name__ == "__main__":
    sys.exit(main())
