"""What keeping freed memory saves: processor seconds and page faults of a training step, with and without.

    python benchmarks/allocator.py

Processor seconds and not wall time, so that the ratio holds on a busy machine; one process a variant, in turn.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys

from record import RESULTS, Target, write

SIZE, STEPS, REPEATS = (80, 96, 80), 10, 3
VARIANTS = ("kept", "returned")


def main() -> int:
    """Measure both variants in turn and write benchmarks/results/allocator.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)  # what one process measures
    args = parser.parse_args()
    if args.variant:
        print(json.dumps(measure(args.variant)))
        return 0
    runs: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    for _ in range(REPEATS):
        for variant in VARIANTS:
            words = [sys.executable, __file__, "--variant", variant]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            runs[variant].append(json.loads(done.stdout))
    numbers = {
        variant: {name: round(statistics.median(run[name] for run in found), 4) for name in found[0]}
        for variant, found in runs.items()
    }
    ratio = round(numbers["kept"]["cpu_seconds"] / numbers["returned"]["cpu_seconds"], 3)
    about = {"libc": platform.libc_ver(), "per_step": numbers}
    return write(RESULTS / "allocator.json", [Target("cpu_ratio", 1.0, ratio)], about)


def measure(variant: str) -> dict[str, float]:
    """Processor seconds and page faults of one training step of the default network on a whole volume."""
    import torch

    from fedbrats.model.network import SegmentationNetwork
    from fedbrats.model.training.allocator import keep_freed_memory

    torch.set_num_threads(1)
    if variant == "kept":
        keep_freed_memory()
    network = SegmentationNetwork("fast")
    optimiser = torch.optim.AdamW(network.parameters())
    images, masks = torch.randn(1, 4, *SIZE), (torch.rand(1, 3, *SIZE) > 0.9).float()

    def step() -> None:
        optimiser.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(network(images), masks).backward()
        optimiser.step()

    for _ in range(3):
        step()
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(STEPS):
        step()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    faults = after.ru_minflt - before.ru_minflt
    return {"cpu_seconds": cpu / STEPS, "page_faults": faults / STEPS, "peak_MiB": after.ru_maxrss / 1024}


if __name__ == "__main__":
    sys.exit(main())
