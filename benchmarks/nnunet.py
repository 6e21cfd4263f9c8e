"""Dice after the same seconds of one core: nnU-Net v2 by its own plan and trainer, and ours by its defaults.

    python3 -m venv NNUNET && NNUNET/bin/pip install nnunetv2 torch
    python benchmarks/nnunet.py BRATS_MINI --python NNUNET/bin/python      # 35 minutes of one core
    python benchmarks/nnunet.py BRATS_MINI --python NNUNET/bin/python --minutes 1 --only none --out OUT.JSON

The cases of all sites lie in one place, and those of the fold are held out. nnU-Net gets all cases with their regions
as its own conversion of BraTS lays them out, plans and prepares them, and trains `3d_fullres`. Ours trains from random
weights and from the weights that ship, its learning rate falling within the minutes. Seconds are processor time of one
thread from the first step on, batches included; planning, preparing and validation are not counted. The validation
cases are scored by the same code (`fedbrats.model.metrics`), and predicted without mirror images, which would take
nnU-Net as long again as its training.
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
import torch
from record import RESULTS, Target, write
from time_to_dice import read_fold

from fedbrats.cli.progress import say
from fedbrats.data.cases.case import Case, find_cases
from fedbrats.data.prepare.site_cases import SiteCases
from fedbrats.data.regions import BRATS_2018, labels_to_regions
from fedbrats.jobs.start import read_start
from fedbrats.model.metrics import CaseScore, score_case, summarise
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.trainer import Trainer

NUMBER, NAME = 137, "Dataset137_BraTS"  # as in nnU-Net's own conversion of BraTS 2021
CHANNELS = ("t1", "t1ce", "t2", "flair")
LABELS = {1: 2, 2: 1, 4: 3}  # of BraTS 2018: core, oedema, enhancing; nnU-Net wants them without a gap
CONTENDERS = ("nnunet", "none", "phantoms")
SEED, PARTS = 0, 12  # parts: how often ours is validated
HERE = Path(__file__).parent


def main() -> int:
    """Train each, score, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the BraTS cases that experiments/cases.csv names")
    parser.add_argument("--python", type=Path, help="the interpreter of an environment that has nnunetv2")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=10.0, help="of processor time for each (default: 10)")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--go-on", action="store_true", help="keep what --out has, and do the rest")
    parser.add_argument("--work", type=Path, default=Path("build/benchmarks/nnunet"), help="kept: what is planned")
    parser.add_argument("--out", type=Path, default=RESULTS / "nnunet.json")
    args = parser.parse_args()
    if "nnunet" in args.only and args.python is None:
        parser.error("--python names the interpreter that has nnunetv2; without it, say --only none phantoms")
    torch.set_num_threads(1)
    entries = json.loads(args.out.read_text())["entries"] if args.go_on and args.out.exists() else []
    with tempfile.TemporaryDirectory() as scratch:
        sites = read_fold(args.data, args.fold, Path(scratch))
        for name in args.only:
            if all(entry["contender"] != name for entry in entries):
                found = theirs(args, sites) if name == "nnunet" else ours(name, sites, 60 * args.minutes)
                entries.append({"contender": name, **found})
                write(args.out, judge(entries), {"fold": args.fold, "minutes": args.minutes, "entries": entries})
    return write(args.out, judge(entries), {"fold": args.fold, "minutes": args.minutes, "entries": entries})


def ours(start: str, sites: list[SiteCases], budget_s: float) -> dict[str, Any]:
    """Ours from a start, with the default settings: Dice as the seconds pass, and the final one."""
    training = [case for site in sites for case in site.training]
    validation = [case for site in sites for case in site.validation]
    network = {"preset": "fast", "seed": SEED}
    first = read_start(start, network)

    def begin(steps: int) -> Trainer:
        settings = TrainingSettings(local_steps=steps)
        trainer = Trainer(network, settings, training, validation, seed=SEED, device="cpu", threads=1)
        if first:
            trainer.set_weights(first)
        return trainer

    trial = begin(10)
    trial.train_round(0, 10**6)  # caches and pools
    began = time.process_time()
    trial.train_round(1, 10**6)
    step_s = (time.process_time() - began) / 10
    trainer = begin(max(1, round(budget_s / PARTS / step_s)))
    used, steps, course = 0.0, 0, []
    for number in range(PARTS):
        began, before = time.process_time(), used
        outcome = trainer.train_round(
            number,
            PARTS,
            should_stop=lambda: before + time.process_time() - began >= budget_s,  # noqa: B023
        )
        used, steps = before + time.process_time() - began, steps + outcome.steps
        dice = summarise(trainer.evaluation.score())["dice"]["mean"]
        course.append({"seconds": round(used, 1), "dice": round(dice, 4)})
        say(f"{start}: {used:.0f} of {budget_s:.0f} s, Dice {dice:.3f}")
        if used >= budget_s:
            break
    began = time.process_time()
    dice = summarise(trainer.evaluation.score(), 4)["dice"]
    return {
        "parameters": sum(parameter.numel() for parameter in trainer.network.parameters()),
        "patch_size": list(trainer.settings.patch_size or ()),
        "batch_size": trainer.settings.batch_size,
        "steps": steps,
        "seconds": round(used, 1),
        "dice": dice,
        "prediction_s": round(time.process_time() - began, 1),
        "course": course,
    }


def theirs(args: argparse.Namespace, sites: list[SiteCases]) -> dict[str, Any]:
    """nnU-Net's Dice by the same code, and what it planned."""
    folders = {name: (args.work / name).resolve() for name in ("raw", "preprocessed", "results")}
    names = {use: [case.name for site in sites for case in getattr(site, use)] for use in ("training", "validation")}
    cases = {
        case.name: case for case in find_cases(args.data) if case.name in {*names["training"], *names["validation"]}
    }
    lay_out(cases, folders["raw"] / NAME)
    environment = {**os.environ, **{f"nnUNet_{name}": str(folder) for name, folder in folders.items()}}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "BLOSC_NTHREADS", "nnUNet_def_n_proc"), "1")
    environment["nnUNet_n_proc_DA"] = "1"
    planning = (
        "from nnunetv2.experiment_planning.plan_and_preprocess_entrypoints import plan_and_preprocess_entry as p; p()"
    )
    words = ["-d", str(NUMBER), "-c", "3d_fullres", "-np", "1", "-npfp", "1"]
    if not (folders["preprocessed"] / NAME / "nnUNetPlans_3d_fullres").exists():  # of an earlier call
        subprocess.run([args.python, "-c", planning, *words], env=environment, check=True)
    split = [{"train": names["training"], "val": names["validation"]}]
    (folders["preprocessed"] / NAME / "splits_final.json").write_text(json.dumps(split))
    out = args.work / "trained.json"
    environment["nnUNet_n_proc_DA"] = "0"  # batches in the process that trains, so that they count
    script = [HERE / "nnunet_training.py", NAME, "--budget-s", str(60 * args.minutes), "--out", out]
    subprocess.run([args.python, *script], env=environment, check=True)
    found = json.loads(out.read_text())
    masks = Path(found.pop("masks"))
    scores = [score_mask(masks / f"{name}.nii.gz", cases[name]) for name in names["validation"]]
    version = "import importlib.metadata as m; print(m.version('nnunetv2'))"
    found["version"] = subprocess.check_output([args.python, "-c", version], text=True).strip()
    found |= {"seconds": found["course"][-1]["seconds"], "dice": summarise(scores, 4)["dice"]}
    return found


def lay_out(cases: dict[str, Case], raw: Path) -> None:
    """nnU-Net's folder of a data set: links to the scans, and segmentations with its numbers."""
    import nibabel

    for folder in ("imagesTr", "labelsTr"):
        (raw / folder).mkdir(parents=True, exist_ok=True)
    for name, case in cases.items():
        for number, channel in enumerate(CHANNELS):
            link = raw / "imagesTr" / f"{name}_{number:04}.nii.gz"
            link.unlink(missing_ok=True)
            link.symlink_to(case.images[channel].resolve())
        segmentation = nibabel.load(case.label)
        values = np.asarray(segmentation.dataobj)
        labels = np.zeros(values.shape, np.uint8)
        for own, new in LABELS.items():
            labels[values == own] = new
        nibabel.save(nibabel.Nifti1Image(labels, segmentation.affine), raw / "labelsTr" / f"{name}.nii.gz")
    regions = {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]}
    document = {
        "channel_names": dict(enumerate(("T1", "T1ce", "T2", "Flair"))),
        "labels": regions,
        "regions_class_order": [1, 2, 3],
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(document))


def score_mask(path: Path, case: Case) -> CaseScore:
    """The score of a mask in nnU-Net's numbers, on the grid of the scan."""
    import nibabel

    predicted = np.asarray(nibabel.load(path).dataobj)
    truth = labels_to_regions(np.asarray(nibabel.load(case.label).dataobj), BRATS_2018)
    return score_case(case.name, case.patient, np.stack([predicted >= least for least in (1, 2, 3)]), truth)


def judge(entries: list[dict[str, Any]]) -> list[Target]:
    """By how much ours is ahead of nnU-Net after the same seconds; a number below 0 would be behind."""
    found = {entry["contender"]: entry["dice"]["mean"] for entry in entries}
    if "nnunet" not in found:
        return []
    return [
        Target(f"dice_ahead_of_nnunet_from_{name}", 0.0, round(found[name] - found["nnunet"], 4), at_least=True)
        for name in CONTENDERS[1:]
        if name in found
    ]


if __name__ == "__main__":
    sys.exit(main())
