"""Parts of benchmarks/gpu.py that train on cases: augmentation on the device, time to a Dice, a whole federation."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from fedbrats.cli.call import call
from fedbrats.data.batches.settings import Augmentation
from fedbrats.data.cases.datalist import find_sites
from fedbrats.data.prepare.cache import CacheSettings
from fedbrats.data.prepare.site_cases import read_site
from fedbrats.model.metrics import summarise
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.trainer import Trainer
from fedbrats.rows import ROWS_FILE, read_rows

DICE, ROUNDS = 0.70, 400
SEED = 0


def augment_there(images: Tensor, masks: Tensor, settings: Augmentation) -> tuple[Tensor, Tensor]:
    """The changes of `fedbrats.data.batches.augmentation`, on the device of the images and for a batch at once.

    Args:
        images: (B, 4, x, y, z), in standard deviations.
        masks: (B, 3, x, y, z), 0 or 1.
    """
    batch, device = len(images), images.device
    both = torch.cat([images, masks], 1)
    grid = affine_grid(_matrices(batch, settings, device), list(both.shape), align_corners=False)
    moved = grid_sample(both, grid, align_corners=False)
    for axis in (2, 3, 4):
        chosen = torch.rand(batch, 1, 1, 1, 1, device=device) < 0.5
        moved = torch.where(chosen, moved.flip(axis), moved)
    images, masks = moved[:, :4], (moved[:, 4:] >= 0.5).to(masks.dtype)
    gain, shift = (settings.intensity * (2 * torch.rand(2, batch, 4, 1, 1, 1, device=device) - 1)).unbind()
    images = (images * (1 + gain) + shift) * (images != 0)
    noisy = settings.noise * torch.rand(batch, 1, 1, 1, 1, device=device)
    noisy = noisy * (torch.rand(batch, 1, 1, 1, 1, device=device) < 1 / 3)
    images = images + noisy * torch.randn_like(images)
    blank = torch.rand(batch, 1, 1, 1, 1, device=device) < settings.modality_dropout
    which = torch.randint(4, (batch, 1, 1, 1, 1), device=device) == torch.arange(4, device=device).view(1, 4, 1, 1, 1)
    return images.masked_fill(blank & which, 0.0), masks


def _matrices(batch: int, settings: Augmentation, device: torch.device) -> Tensor:
    """Rotations and zooms (B, 3, 4), the identity for those that are not moved."""
    angles = torch.deg2rad(settings.rotation_degrees * (2 * torch.rand(3, batch, device=device) - 1))
    zoom = 1 + settings.scaling * (2 * torch.rand(batch, 1, 1, device=device) - 1)
    matrix = torch.eye(3, device=device).repeat(batch, 1, 1) * zoom
    for axis, angle in enumerate(angles):
        turn = torch.eye(3, device=device).repeat(batch, 1, 1)
        i, j = [a for a in range(3) if a != axis]
        turn[:, i, i] = turn[:, j, j] = angle.cos()
        turn[:, i, j], turn[:, j, i] = -angle.sin(), angle.sin()
        matrix = matrix @ turn
    moved = torch.rand(batch, 1, 1, device=device) < settings.spatial_share
    matrix = torch.where(moved, matrix, torch.eye(3, device=device))
    return torch.cat([matrix, torch.zeros(batch, 3, 1, device=device)], 2)


def time_to_dice(sites: Path, device: torch.device, preset: str, seconds: float) -> dict[str, Any]:
    """Seconds of training on the cases of all sites until the mean Dice of their validation cases is DICE.

    Args:
        sites: a folder of sites, as `fedbrats split` writes it.
        seconds: of training, after which it ends in any case.
    """
    with tempfile.TemporaryDirectory() as cache:
        found = [read_site(folder, Path(cache), CacheSettings()) for folder in find_sites(sites)]
        training = [case for site in found for case in site.training]
        validation = [case for site in found for case in site.validation]
        settings = TrainingSettings(local_steps=len(training))
        network = {"preset": preset, "seed": SEED}
        trainer = Trainer(network, settings, training, validation, seed=SEED, device=str(device))
        spent, dice, reached = 0.0, 0.0, None
        for number in range(ROUNDS):
            spent += trainer.train_round(number, ROUNDS).seconds
            dice = summarise(trainer.evaluation.score())["dice"]["mean"]
            if dice >= DICE:
                reached = round(spent, 2)
                break
            if spent > seconds:
                break
    return {"target": DICE, "seconds": reached, "trained_s": round(spent, 2), "dice": round(dice, 4)}


def federation(sites: Path | None, rounds: int = 4) -> dict[str, Any]:
    """Median seconds of a round of `fedbrats simulate`: every site, FLARE and the server in one process, one context.

    Without a folder of sites, on five sites of phantoms.
    """
    with tempfile.TemporaryDirectory() as scratch:
        if sites is None:
            sites = Path(scratch) / "sites"
            call("phantom", sites, "--sites", 5, "--cases", 6, "--seed", SEED)
        places = ["--data", sites, "--results", Path(scratch) / "results", "--cache", Path(scratch) / "cache"]
        began = time.monotonic()
        document = json.loads(call("simulate", "fedavg", *places, "--set", f"num_rounds={rounds}", "--json"))
        whole = time.monotonic() - began
        rows = read_rows(Path(document["results"]) / ROWS_FILE)
    ends = [row["ended_at"] for row in rows if row["kind"] == "round"]
    between = [later - earlier for earlier, later in pairwise(ends)]
    return {"rounds": rounds, "round_seconds": round(statistics.median(between), 3), "whole_seconds": round(whole, 1)}
