"""One GPU, in at most eight minutes: training, other ways to do it, patches, a full case, several sites, and memory.

    python benchmarks/gpu.py                          # on the first CUDA device; exits with 1 where there is none
    python benchmarks/gpu.py --sites SITES            # also the time to Dice 0.70 on sites of `fedbrats split`
    python benchmarks/gpu.py --device cpu --quick     # to see that it runs: the figures mean nothing

Random volumes of four modalities; what is timed is forward, loss, backward and the step, as training does it, in
bfloat16 on CUDA. Each part begins only while there is time left; what is left out says so. NVIDIA's published numbers
for its own 3D U-Net on BraTS (nnU-Net for PyTorch, one A100 80 GB, mixed precision) stand beside: another network and
another chip, so they say where we are and no more. Writes benchmarks/results/gpu.json.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_training import augment_there, federation, time_to_dice
from record import RESULTS, Target, write
from torch.nn.functional import binary_cross_entropy_with_logits

from fedbrats.data.batches.augmentation import augment
from fedbrats.model.monai_parts import DiceLoss, sliding_window_inference
from fedbrats.model.network import SegmentationNetwork
from fedbrats.model.precision import autocast, precision_of
from fedbrats.model.settings import TrainingSettings

PUBLISHED = {1: 4.24, 2: 6.74, 4: 9.52}  # volumes a second by batch size
VOLUMES_A_SECOND, PATCHES_A_SECOND, CASE_S, DICE_S = 30.0, 1000.0, 0.5, 20.0  # targets, for one H100
FULL_SIZE = (160, 192, 160)  # a brain at 1 mm
SITES = 5
SECONDS = 480.0
SEED = 0
# A part that is begun is finished: `compiled` may take two minutes, so it comes last.
WAYS: dict[str, dict[str, bool]] = {
    "as it is": {},
    "channels last": {"channels_last": True},
    "fused optimiser": {"fused": True},
    "CUDA graph": {"graph": True},
    "channels last, fused optimiser, compiled": {"channels_last": True, "fused": True, "compiled": True},
}


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--quick", action="store_true", help="small volumes and one step, to see that it runs")
    parser.add_argument("--sites", type=Path, help="a folder of sites, for the time to a Dice and the federation")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="begin nothing after so many (default: 480)")
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu.json")
    args = parser.parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        print("there is no CUDA device here; nothing was measured", file=sys.stderr)
        return 1
    device = torch.device(args.device)
    bench = Bench(device, args.quick, time.monotonic() + args.seconds)
    parts: dict[str, Callable[[], Any]] = {
        "matrix_tflops": bench.matrix_product,
        "training": lambda: [bench.train("large", batch) for batch in PUBLISHED],
        "full_case_seconds": bench.full_case,
        "patches": bench.patches,
        "sites_on_one_device": bench.several_sites,
        "time_to_dice": lambda: args.sites and time_to_dice(args.sites, device, *bench.dice_run),
        "federation": lambda: None if args.quick else federation(args.sites),
        "ways": bench.ways,
    }
    found: dict[str, Any] = {"chip": bench.chip, "quick": args.quick, "published_a100": PUBLISHED}
    for name, measure in parts.items():
        found[name] = measure() if time.monotonic() < bench.deadline else None
    return write(args.out, targets_of(found), found)


def targets_of(found: dict[str, Any]) -> list[Target]:
    """The targets; a number that was left out is not met."""
    best = max((entry["volumes_a_second"] for entry in found["training"] or []), default=None)
    patches = found["patches"] and found["patches"]["patches_a_second"]
    dice_s = found["time_to_dice"] and found["time_to_dice"]["seconds"]
    return [
        Target("volumes_a_second_of_large", VOLUMES_A_SECOND, best, at_least=True),
        Target("patches_a_second_of_fast", PATCHES_A_SECOND, patches, at_least=True),
        Target("full_case_seconds", CASE_S, found["full_case_seconds"]),
        Target("seconds_to_dice_0.70", DICE_S, dice_s),
    ]


class Bench:
    """The measurements on one device."""

    def __init__(self, device: torch.device, quick: bool, deadline: float):
        self.device, self.deadline = device, deadline
        self.side, self.steps = (16, 1) if quick else (128, 20)
        self.full_size = (24, 24, 24) if quick else FULL_SIZE
        self.large = "tiny" if quick else "large"
        self.dice_run = ("tiny", 0.0) if quick else ("fast", 60.0)  # the network, and seconds of training
        self.matrix = 256 if quick else 8192
        self.is_cuda = device.type == "cuda"
        self.chip = torch.cuda.get_device_name(device) if self.is_cuda else "cpu"
        self.precision = precision_of(device)

    def matrix_product(self) -> float:
        """TFLOP/s of a large product of matrices, in the precision of training: what the chip does at most."""
        a = torch.randn(self.matrix, self.matrix, device=self.device, dtype=self.precision or torch.float32)
        return round(2 * self.matrix**3 / self.timed(lambda: a @ a) / 1e12, 3)

    def train(self, network: str, batch: int, **way: bool) -> dict[str, Any]:
        """Volumes a second and the most memory of training, by batch size."""
        if self.is_cuda:
            torch.cuda.reset_peak_memory_stats(self.device)
        step = self.new_step(self.large if network == "large" else network, batch, **way)
        seconds = self.timed(step)
        peak = torch.cuda.max_memory_allocated(self.device) / 2**30 if self.is_cuda else None
        return {"batch": batch, "volumes_a_second": round(batch / seconds, 2), "peak_gib": peak and round(peak, 2)}

    def ways(self) -> dict[str, float | None]:
        """Volumes a second at a batch of two, done in other ways; None for what is left out or cannot be done here."""
        found: dict[str, float | None] = {}
        for name, way in WAYS.items():
            found[name] = None
            if time.monotonic() < self.deadline and (self.is_cuda or not way.keys() & {"compiled", "graph"}):
                found[name] = self.train("large", 2, **way)["volumes_a_second"]
        return found

    def several_sites(self) -> dict[str, Any]:
        """Volumes a second of sites that take turns on one device in one process, batch 1 each."""
        steps = itertools.cycle([self.new_step(self.large, 1) for _ in range(SITES)])
        seconds = self.timed(lambda: next(steps)(), count=SITES * max(1, self.steps // SITES))
        return {"sites": SITES, "volumes_a_second": round(1 / seconds, 2)}

    def patches(self) -> dict[str, float]:
        """Patches a second of the network `fast`: trained, and augmented by one core or in a batch on the device.

        What counts is training with the faster of the two; on the device, one waits for the other.
        """
        settings = TrainingSettings()
        shape = tuple(settings.patch_size)
        rng = np.random.default_rng(SEED)
        image = rng.standard_normal((4, *shape)).astype(np.float32)
        masks = (image[:3] > 1).astype(np.float32)
        augmented = 1 / self.timed(lambda: augment(image, masks, settings, rng))
        batch = 1 if self.steps == 1 else 8
        trained = batch / self.timed(self.new_step("tiny" if self.steps == 1 else "fast", batch, shape=shape))
        images, targets = (torch.from_numpy(each.copy()).to(self.device)[None] for each in (image, masks))
        images, targets = (each.repeat(batch, 1, 1, 1, 1) for each in (images, targets))
        there = batch / self.timed(lambda: augment_there(images, targets, settings))
        return {
            "patches_a_second": round(max(min(augmented, trained), 1 / (1 / there + 1 / trained)), 1),
            "trained": round(trained, 1),
            "augmented_by_a_core": round(augmented, 1),
            "augmented_on_the_device": round(there, 1),
        }

    def full_case(self) -> float:
        """Seconds of a sliding window over a full-size case, with its way to the device and back."""
        network = SegmentationNetwork(self.large, SEED).to(self.device).eval()
        image = torch.randn(1, 4, *self.full_size)

        def case() -> None:
            with torch.inference_mode(), autocast(self.device, self.precision):
                there = image.to(self.device)
                sliding_window_inference(there, [self.side] * 3, 1, network, overlap=0.5, mode="gaussian").cpu()

        return round(self.timed(case, count=max(1, self.steps // 5)), 3)

    def new_step(
        self,
        network: str,
        batch: int,
        *,
        shape: tuple[int, ...] = (),
        channels_last: bool = False,
        fused: bool = False,
        compiled: bool = False,
        graph: bool = False,
    ) -> Callable[[], None]:
        """A function that trains one step on random volumes, in one of `WAYS`."""
        layout = torch.channels_last_3d if channels_last else torch.contiguous_format
        model: Any = SegmentationNetwork(network, SEED).to(self.device, memory_format=layout).train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=fused or None, capturable=graph)
        images = torch.randn(batch, 4, *(shape or (self.side,) * 3), device=self.device).to(memory_format=layout)
        masks = (images[:, :3] > 1).float()
        dice = DiceLoss(sigmoid=True)
        if compiled:
            model = torch.compile(model)

        def step() -> None:
            optimiser.zero_grad(set_to_none=True)
            with autocast(self.device, self.precision):
                logits = model(images)
            loss = dice(logits.float(), masks) + binary_cross_entropy_with_logits(logits.float(), masks)
            loss.backward()
            optimiser.step()

        return self.recorded(step) if graph else step

    def recorded(self, step: Callable[[], None]) -> Callable[[], None]:
        """A step whose kernels are recorded once and then started all at once, as a CUDA graph."""
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):  # PyTorch asks for some steps on another stream first
            for _ in range(3):
                step()
        torch.cuda.current_stream(self.device).wait_stream(stream)
        recording = torch.cuda.CUDAGraph()
        with torch.cuda.graph(recording):
            step()
        return recording.replay

    def timed(self, step: Callable[[], object], count: int = 0) -> float:
        """Mean seconds of a step after two that are not counted."""
        count = count or self.steps
        for _ in range(2):
            step()
        self.wait()
        began = time.perf_counter()
        for _ in range(count):
            step()
        self.wait()
        return (time.perf_counter() - began) / count

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.is_cuda:
            torch.cuda.synchronize(self.device)


if __name__ == "__main__":
    sys.exit(main())
