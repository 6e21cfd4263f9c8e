"""What every command that takes a trained model understands alike."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedbrats.model.prediction import Predictor


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare MODEL, a site's personal weights, and how the model is asked."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="a results folder, or a model file in one")
    parser.add_argument("--personal", type=Path, metavar="FILE", help="a site's personal.npz, laid over the model")
    parser.add_argument(
        "--flips", action="store_true", help="mean over eight mirror images: better, eight times slower"
    )
    parser.add_argument(
        "--window", type=int, nargs=3, metavar="N", help="sides of a sliding window in prepared voxels (less memory)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: the machine's cores)")


def open_predictor(args: argparse.Namespace) -> Predictor:
    """The model that the arguments name, ready to predict. Raises: DataError, UpdateError."""
    import torch

    from fedbrats.model.device import choose_device
    from fedbrats.model.prediction import Predictor
    from fedbrats.model.saved import load_model

    if args.threads:
        torch.set_num_threads(args.threads)
    window = tuple(args.window) if args.window else None
    return Predictor(load_model(args.model, args.personal), choose_device(args.device), window, args.flips)
