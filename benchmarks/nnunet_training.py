"""Part of benchmarks/nnunet.py that runs in an environment with nnU-Net v2, and without fedbrats.

nnU-Net's own trainer with nothing changed but its end: it stops after so many seconds of processor time, and predicts
the validation cases as it does after its last epoch, but without mirror images. Writes a JSON document.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from pathlib import Path

import numpy as np
import torch
from nnunetv2.run.run_training import get_trainer_from_args
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class TimeIsUpError(Exception):
    """The seconds of training are over."""


def limit(trainer: nnUNetTrainer, budget_s: float, course: list[dict[str, float]]) -> None:
    """Let the trainer stop before the first step that would begin after its seconds; batches count as steps do."""
    own_step, began = trainer.train_step, []

    def step(batch: dict) -> dict:
        began.append(time.process_time())
        if began[-1] - began[0] >= budget_s:
            raise TimeIsUpError
        outcome = own_step(batch)
        seconds = time.process_time() - began[0]
        course.append({"seconds": round(seconds, 1), "loss": round(float(outcome["loss"]), 4)})
        print(f"nnunet: step {len(course)}, {seconds:.0f} s, loss {course[-1]['loss']}", flush=True)
        return outcome

    trainer.train_step = step


def main() -> None:
    """Train, predict, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--configuration", default="3d_fullres")
    parser.add_argument("--budget-s", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    np.random.seed(args.seed)
    trainer = get_trainer_from_args(args.dataset, args.configuration, 0, device=torch.device("cpu"))
    course: list[dict[str, float]] = []
    limit(trainer, args.budget_s, course)
    with contextlib.suppress(TimeIsUpError):
        trainer.run_training()
    wall, used = time.perf_counter(), time.process_time()
    trainer.inference_allowed_mirroring_axes = None
    trainer.perform_actual_validation()
    document = {
        "masks": str(Path(trainer.output_folder) / "validation"),
        "trainer": type(trainer).__name__,
        "patch_size": list(trainer.configuration_manager.patch_size),
        "batch_size": trainer.configuration_manager.batch_size,
        "iterations_an_epoch": trainer.num_iterations_per_epoch,
        "parameters": sum(parameter.numel() for parameter in trainer.network.parameters()),
        "steps": len(course),
        "course": course,
        "prediction_s": round(time.process_time() - used, 1),
        "prediction_wall_s": round(time.perf_counter() - wall, 1),
    }
    args.out.write_text(json.dumps(document))


if __name__ == "__main__":
    main()
