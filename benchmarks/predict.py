"""What `fedbrats predict` takes for a full-size case, and whether its mask is as good there as where it was trained.

    fedbrats split BRATS_MINI --by experiments/cases.csv:site --fold 0 --out sites
    fedbrats train sites --rounds 10 --out results/central
    python benchmarks/predict.py results/central BRATS_FULL --sites sites

Runs the command once a case, with two threads, pictures included, and measures its time and the peak of its memory.
Dice against the case's own segmentation is taken twice: on the scan's own grid from the label map that was written, and
on the grid the model was trained at. Cases that the model was trained on (in --sites) are said to be. Writes numbers
only, to benchmarks/results/predict.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, Target, write

from fedbrats.cli.output import print_table
from fedbrats.data.cases.case import Case, find_cases
from fedbrats.data.cases.datalist import find_sites, read_datalist
from fedbrats.data.check.checks import examine_case
from fedbrats.data.check.conventions import settle_convention
from fedbrats.data.prepare.cache import CachedCase
from fedbrats.data.prepare.preparation import prepare
from fedbrats.data.regions import LabelConvention, labels_to_regions
from fedbrats.data.volumes import read_volume
from fedbrats.model.device import choose_device
from fedbrats.model.inference import predict_mask
from fedbrats.model.metrics import score_case, summarise
from fedbrats.model.prediction import read_truth
from fedbrats.model.saved import SavedModel, load_model

THREADS = 2


def main() -> int:
    """Measure, print, write; exits with 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a results folder")
    parser.add_argument("cases", type=Path, help="a folder of full-size cases with segmentations")
    parser.add_argument("--sites", type=Path, help="the sites folder the model was trained on")
    parser.add_argument("--flips", action="store_true", help="mean over eight mirror images")
    parser.add_argument("--out", type=Path, default=RESULTS / "predict.json")
    args = parser.parse_args()
    model, cases = load_model(args.model), find_cases(args.cases)
    convention = settle_convention({case.name: examine_case(case).labels or {} for case in cases}).convention
    trained = _training_names(args.sites) if args.sites else set()
    entries = [_measure(case, convention, model, args) for case in cases]
    for case, entry in zip(cases, entries, strict=True):
        entry["seen_in_training"] = case.name in trained
    lost = max(round(entry["dice_trained_grid"] - entry["dice_own_grid"], 4) for entry in entries)
    targets = [
        Target("peak_memory_gib", 3.0, max(entry["peak_memory_gib"] for entry in entries)),
        Target("dice_lost", 0.03, lost),
    ]
    columns = ("seconds", "cpu_seconds", "peak_memory_gib", "dice_own_grid", "dice_trained_grid", "seen_in_training")
    print_table(("shape", *columns), [(entry["shape"], *(entry[name] for name in columns)) for entry in entries])
    about = {"trained_at_mm": model.preparation.spacing_mm, "threads": THREADS, "flips": args.flips}
    return write(args.out, targets, {**about, "cases": entries})


def _measure(case: Case, convention: LabelConvention, model: SavedModel, args: argparse.Namespace) -> dict[str, Any]:
    """One run of the command, and the Dice of what it wrote; no name of a case is kept."""
    with tempfile.TemporaryDirectory(prefix="fedbrats-predict-") as folder:
        words = ["predict", args.model, case.image_paths[0].parent, "--out", folder, "--device", "cpu"]
        words += ["--threads", THREADS, "--convention", convention.name, *(["--flips"] if args.flips else [])]
        seconds, usage = _run([sys.executable, "-m", "fedbrats.cli.main", *map(str, words)])
        document = json.loads((Path(folder) / "predictions.json").read_text(encoding="utf-8"))
        labels = np.asarray(read_volume(Path(document["cases"][0]["prediction"])).voxels)
    truth = read_truth(case, convention)
    own = score_case(case.name, case.patient, labels_to_regions(labels, convention), truth)
    prepared = prepare(case, convention, model.preparation)
    assert prepared.mask is not None
    cached = CachedCase(case.name, case.patient, prepared.image, prepared.mask, prepared.geometry)
    mask = predict_mask(
        model.network,
        cached,
        device=choose_device("cpu"),
        window=model.window,
        flips=args.flips,
        component_share=model.component_share,  # as the command does
    )
    trained = score_case(case.name, case.patient, mask, prepared.mask)
    return {
        "shape": "x".join(map(str, truth.shape[1:])),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "seconds_of_the_case": document["cases"][0]["seconds"],
        "peak_memory_gib": round(usage.ru_maxrss / 2**20, 3),
        "dice_own_grid": round(summarise([own])["dice"]["mean"], 4),
        "dice_trained_grid": round(summarise([trained])["dice"]["mean"], 4),
        "own_grid": {region: round(value, 4) for region, value in own.dice.items()},
        "trained_grid": {region: round(value, 4) for region, value in trained.dice.items()},
    }


def _run(command: list[str]) -> tuple[float, Any]:
    """Seconds and resource usage of a command that must succeed."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command[2:5])} failed")
    return time.perf_counter() - began, usage


def _training_names(sites_dir: Path) -> set[str]:
    return {case.name for site in find_sites(sites_dir) for case in read_datalist(site).training}


if __name__ == "__main__":
    sys.exit(main())
