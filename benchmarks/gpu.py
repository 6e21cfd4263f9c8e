"""Training and inference on a GPU: volumes a second of a 128^3 network, memory, and several sites on one device.

    python benchmarks/gpu.py                 # on the first CUDA device; says so and exits with 1 where there is none
    python benchmarks/gpu.py --device cpu --side 32 --steps 2      # to see that it runs

Random volumes of four modalities; what is timed is forward, loss, backward and the step, as training does it, in
bfloat16 on CUDA. NVIDIA's published numbers for its own 3D U-Net on BraTS (nnU-Net for PyTorch, one A100 80 GB, mixed
precision) stand beside: another network and another chip, so they say where we are and no more.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from monai.losses import DiceLoss
from record import RESULTS, Target, write
from torch.nn.functional import binary_cross_entropy_with_logits

from fedbrats.model.network import SegmentationNetwork

PUBLISHED = {1: 4.24, 2: 6.74, 4: 9.52}  # volumes a second by batch size
FULL_SIZE = (160, 192, 160)  # a brain at 1 mm
SEED = 0


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--network", default="large", help="preset (default: large)")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--sites", nargs="+", type=int, default=[1, 2, 4], help="on one device at once")
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu.json")
    args = parser.parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        print("there is no CUDA device here; nothing was measured", file=sys.stderr)
        return 1
    device = torch.device(args.device)
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    training = [train(args, device, batch) for batch in PUBLISHED]
    shared = [several(args, device, sites) for sites in args.sites]
    inference = infer(args, device)
    targets = [
        Target(f"volumes_a_second_batch_{e['batch']}", PUBLISHED[e["batch"]], e["volumes_a_second"], at_least=True)
        for e in training
    ]
    numbers = {"chip": chip, "network": args.network, "side": args.side, "published_a100": PUBLISHED}
    found = {**numbers, "training": training, "sites_on_one_device": shared, "full_size_case": inference}
    return write(args.out, targets, found)


def new_step(args: argparse.Namespace, device: torch.device, batch: int) -> Any:
    """A function that trains one step on random volumes."""
    network = SegmentationNetwork(args.network, SEED).to(device).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    rng = np.random.default_rng(SEED)
    sides = (args.side,) * 3
    images = torch.from_numpy(rng.standard_normal((batch, 4, *sides), dtype=np.float32)).to(device)
    masks = (images[:, :3] > 1).float()
    dice = DiceLoss(sigmoid=True)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
            logits = network(images)
        loss = dice(logits.float(), masks) + binary_cross_entropy_with_logits(logits.float(), masks)
        loss.backward()
        optimiser.step()

    return step


def train(args: argparse.Namespace, device: torch.device, batch: int) -> dict[str, Any]:
    """Volumes a second and the most memory, by batch size."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    step = new_step(args, device, batch)
    seconds = timed(step, args.steps, device)
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None
    return {"batch": batch, "volumes_a_second": round(batch / seconds, 2), "peak_gib": peak and round(peak, 2)}


def several(args: argparse.Namespace, device: torch.device, sites: int) -> dict[str, Any]:
    """Volumes a second of so many sites that take turns on one device, batch 1 each."""
    steps = [new_step(args, device, 1) for _ in range(sites)]

    def one_each() -> None:
        for step in steps:
            step()

    return {"sites": sites, "volumes_a_second": round(sites / timed(one_each, max(2, args.steps // sites), device), 2)}


def infer(args: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Seconds of a sliding window over a full-size case."""
    network = SegmentationNetwork(args.network, SEED).to(device).eval()
    image = torch.randn(1, 4, *FULL_SIZE, device=device)
    window = [args.side] * 3

    def case() -> None:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            sliding_window_inference(image, window, 1, network, overlap=0.5, mode="gaussian")

    return {
        "shape": list(FULL_SIZE),
        "window": window,
        "seconds": round(timed(case, max(1, args.steps // 10), device), 3),
    }


def timed(step: Any, count: int, device: torch.device) -> float:
    """Mean seconds of a step after two that are not counted."""
    for _ in range(2):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    for _ in range(count):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - began) / count


if __name__ == "__main__":
    sys.exit(main())
