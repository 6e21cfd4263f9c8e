"""Preparing cases once and reading patches: speed, memory, and MONAI's data sets on the same transforms.

    python benchmarks/data.py BRATS_FULL             # full-size cases, minutes
    python benchmarks/data.py BRATS_FULL --steps 30  # a look

1. `preparation`: every case read, cropped to its brain, resampled to 2 mm, normalised and stored, each in a process of
   its own: MB/s of the files as they lie on the disk, and the peak memory of that process.
2. `patches`: milliseconds to cut a patch of the default size out of a prepared case, without and with augmentation, and
   the share of a training epoch that is spent waiting for data.
3. `monai`: the same reading, orientation, cropping, resampling, normalising, and patches around tumour, by MONAI's
   Dataset (everything anew each time), CacheDataset (in memory) and PersistentDataset (on disk): milliseconds a patch,
   and the seconds before the first one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, Target, write

from fedbrats.cli.progress import say
from fedbrats.data.batches.loading import Loader
from fedbrats.data.batches.settings import Augmentation
from fedbrats.data.cases.case import MODALITIES, Case, find_cases
from fedbrats.data.check.checks import examine_case
from fedbrats.data.check.conventions import settle_convention
from fedbrats.data.prepare.cache import CachedCase, CacheSettings, prepare_case
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.trainer import Trainer

SPACING_MM = 2.0
SEED = 0
THREADS = 2


def main() -> int:
    """Measure, print, write; `--one` is what the processes of the preparation are asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path, help="a folder of full-size cases with segmentations")
    parser.add_argument("--steps", type=int, default=120, help="patches that are timed (default: 120)")
    parser.add_argument("--one", nargs=2, metavar=("CASE", "CACHE"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS / "data.json")
    args = parser.parse_args()
    cases = find_cases(args.cases)
    if args.one:
        return prepare_one(cases, *args.one)
    with tempfile.TemporaryDirectory() as scratch:
        preparation, prepared = measure_preparation(cases, args.cases, Path(scratch) / "cache")
        patches = measure_patches(prepared, args.steps)
        monai = measure_monai(cases, Path(scratch) / "monai", args.steps)
    targets = [Target("waiting_share_of_an_epoch", 0.02, patches["waiting_share"])]
    return write(args.out, targets, {"preparation": preparation, "patches": patches, "monai": monai})


def measure_preparation(cases: list[Case], folder: Path, cache: Path) -> tuple[dict[str, Any], list[CachedCase]]:
    """Each case in a process of its own, which says its seconds and its peak memory."""
    entries = []
    for case in cases:
        size = sum(path.stat().st_size for path in (*case.images.values(), case.label) if path)
        words = [sys.executable, __file__, str(folder), "--one", case.name, str(cache)]
        said = json.loads(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)
        entries.append({"file_mb": size / 1e6, **said})
        say(f"prepared in {said['seconds']:.1f} s, peak {said['peak_mib']:.0f} MiB")
    convention = settle_convention({case.name: examine_case(case).labels or {} for case in cases}).convention
    prepared = [prepare_case(case, convention, cache, CacheSettings(spacing_mm=SPACING_MM)) for case in cases]
    numbers = {
        "cases": len(cases),
        "file_mb_a_second": round(sum(e["file_mb"] for e in entries) / sum(e["seconds"] for e in entries), 2),
        "voxel_mb_a_second": round(sum(e["voxel_mb"] for e in entries) / sum(e["seconds"] for e in entries), 1),
        "seconds_a_case": round(statistics.median(e["seconds"] for e in entries), 2),
        "peak_mib": round(max(e["peak_mib"] for e in entries)),
        "peak_mib_before": round(max(e["peak_mib_before"] for e in entries)),
    }
    return numbers, prepared


def prepare_one(cases: list[Case], name: str, cache: str) -> int:
    """One case; its seconds, and the memory of this process before (imports) and at the peak."""
    import nibabel

    case = next(case for case in cases if case.name == name)
    labels = examine_case(case).labels or {}
    convention = settle_convention({case.name: labels}).convention
    volumes = [nibabel.load(path) for path in (*case.images.values(), case.label) if path]
    before, began = peak_mib(), time.perf_counter()
    prepare_case(case, convention, Path(cache), CacheSettings(spacing_mm=SPACING_MM))
    seconds = time.perf_counter() - began
    voxel_mb = sum(np.prod(volume.shape) * volume.get_data_dtype().itemsize for volume in volumes) / 1e6
    document = {"seconds": seconds, "peak_mib": peak_mib(), "peak_mib_before": before, "voxel_mb": float(voxel_mb)}
    print(json.dumps(document))
    return 0


def peak_mib() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_patches(cases: list[CachedCase], steps: int) -> dict[str, Any]:
    """Our patches, and a real epoch of training with two threads."""
    settings = TrainingSettings(local_steps=steps)

    def loader(augmentation: Augmentation) -> Loader:
        return Loader(
            cases,
            patch_size=settings.patch_size,
            batch_size=1,
            foreground_share=settings.foreground_share,
            augmentation=augmentation,
            seed=SEED,
        )

    numbers: dict[str, Any] = {}
    still = Augmentation(flips=False, intensity=0, noise=0, rotation_degrees=0, scaling=0, modality_dropout=0)
    for key, augmentation in (("patch_ms", still), ("augmented_patch_ms", settings)):
        draws = partial(draw_next, loader(augmentation), itertools.count())
        numbers[key] = round(1000 * median_seconds(draws, steps), 3)
    trainer = Trainer({"preset": "fast", "seed": SEED}, settings, cases, seed=SEED, threads=THREADS)
    trainer.train_round(0, 3)
    outcome = trainer.train_round(1, 3)
    numbers["epoch_steps"] = outcome.steps
    numbers["epoch_seconds"] = round(outcome.seconds, 2)
    numbers["waiting_share"] = round(outcome.seconds_waiting / outcome.seconds, 5)
    return numbers


def draw_next(loader: Loader, steps: Iterator[int]) -> None:
    """One more batch."""
    loader.draw(0, next(steps))


def measure_monai(cases: list[Case], cache: Path, steps: int) -> dict[str, dict[str, Any]]:
    """MONAI's three data sets over one chain of transforms; what is random stands last, so that the rest is kept."""
    from monai.data import CacheDataset, Dataset, PersistentDataset

    items = [{**{m: str(case.images[m]) for m in MODALITIES}, "label": str(case.label)} for case in cases]
    makers: dict[str, tuple[Callable[[], Any], int]] = {
        "Dataset": (lambda: Dataset(items, monai_transforms()), max(len(items), steps // 10)),
        "CacheDataset": (lambda: CacheDataset(items, monai_transforms(), progress=False, num_workers=1), steps),
        "PersistentDataset": (lambda: PersistentDataset(items, monai_transforms(), cache_dir=cache), steps),
    }
    found = {}
    for name, (make, count) in makers.items():
        began = time.perf_counter()
        data = make()
        if name != "Dataset":
            for index in range(len(items)):
                data[index]
        first = time.perf_counter() - began
        turns = itertools.cycle(range(len(items)))
        seconds = median_seconds(lambda d=data, t=turns: d[next(t)], count)
        found[name] = {"patch_ms": round(1000 * seconds, 2), "seconds_before": round(first, 2), "patches": count}
        say(f"MONAI {name}: {1000 * seconds:.1f} ms a patch")
    return found


def monai_transforms() -> Any:
    """What `fedbrats.data.prepare.preparation` and `fedbrats.data.batches.loading` do, in MONAI's words."""
    from monai import transforms as t

    patch = TrainingSettings().patch_size
    return t.Compose(
        [
            t.LoadImaged([*MODALITIES, "label"], ensure_channel_first=True),
            t.ConcatItemsd(MODALITIES, "image"),
            t.DeleteItemsd(MODALITIES),
            t.Orientationd(["image", "label"], "LPS", labels=None),
            t.CropForegroundd(["image", "label"], "image"),
            t.Spacingd(["image", "label"], [SPACING_MM] * 3, mode=("bilinear", "nearest")),
            t.NormalizeIntensityd("image", nonzero=True, channel_wise=True),
            t.ConvertToMultiChannelBasedOnBratsClassesd("label"),
            t.SpatialPadd(["image", "label"], patch),
            t.EnsureTyped(["image", "label"]),
            t.RandCropByPosNegLabeld(["image", "label"], "label", patch, pos=1, neg=1, num_samples=1),
        ]
    )


def median_seconds(draw: Callable[[], Any], count: int) -> float:
    """The median time of a call, after one that is not counted."""

    def spans() -> Iterator[float]:
        for _ in range(count):
            began = time.perf_counter()
            draw()
            yield time.perf_counter() - began

    draw()
    return statistics.median(spans())


if __name__ == "__main__":
    sys.exit(main())
