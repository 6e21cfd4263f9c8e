"""The networks that are shipped, by name: numbers alone, so that a job is checked without PyTorch."""

from __future__ import annotations

from typing import Any

INSTANCE_NORM = ("instance", {"affine": True})
GROUP_NORM = ("group", {"num_groups": 4})

PRESETS: dict[str, dict[str, Any]] = {
    # Strides before it widens: a step on 80x96x80 voxels takes 0.08 s of two cores, where networks with full-resolution
    # first stages take 0.4 to 3 s and are no better in the same number of steps. Groups of channels are normalised, not
    # single ones: it learns faster (docs/results/tuning.md).
    "fast": {
        "architecture": "unet",
        "channels": [16, 32, 64, 128, 128],
        "strides": [2, 2, 2, 2],
        "residual_units": 0,
        "dropout": 0.0,
        "norm": GROUP_NORM,
    },
    # For a GPU at 1 mm: with patch_size and inference_window of 128^3, and deep_supervision.
    "large": {
        "architecture": "segresnet",
        "filters": 32,
        "blocks_down": [1, 2, 2, 4],
        "heads": 3,
        "norm": INSTANCE_NORM,
    },
    "original": {"architecture": "original", "base": 16, "groups": 8},
    # For tests: a step takes milliseconds.
    "tiny": {
        "architecture": "unet",
        "channels": [4, 8, 8],
        "strides": [2, 2],
        "residual_units": 0,
        "dropout": 0.0,
        "norm": INSTANCE_NORM,
    },
}

WHOLE_SETS = ("none", "head", "decoder", "norm", "all")  # of personal names, which every network has
