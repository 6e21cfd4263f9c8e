"""What every command that takes a trained model understands alike."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from fedbrats.api.models import load_each
from fedbrats.api.progress import Watch
from fedbrats.cli.arguments import one_run, run_path, whole_number
from fedbrats.cli.progress import show_sentence

if TYPE_CHECKING:
    from fedbrats.model.saved import SavedModel


def add_weights_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare MODEL and a site's personal weights."""
    parser.add_argument(
        "model",
        nargs="+",
        type=run_path,
        metavar="MODEL",
        help="a results folder, a model file in one, `latest` (the newest run), or the name of a job that has one run",
    )
    parser.add_argument(
        "--personal",
        metavar="SITE",
        help="lay a site's personal weights over the model: of a site of a run on this machine, or a file personal.npz",
    )


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare MODEL, a site's personal weights, and how the model is asked."""
    add_weights_arguments(parser)
    parser.add_argument(
        "--flips", action="store_true", help="average over eight mirror images: better, and eight times slower"
    )
    parser.add_argument(
        "--window",
        type=int,
        nargs=3,
        metavar="N",
        help="size of a sliding window in prepared voxels (needs less memory)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")
    parser.add_argument(
        "--threads", type=whole_number(1), metavar="N", help="CPU threads (default: the machine's cores)"
    )


def load_whole(args: argparse.Namespace) -> SavedModel:
    """The one model that the arguments name, every weight of it trained. Raises: as `load_each`."""
    return load_each(one_run(args.model), args.personal, Watch(show_sentence))


def asked_of_model(args: argparse.Namespace) -> dict[str, Any]:
    """How the model is asked, as functions of the API take it."""
    return {name: getattr(args, name) for name in ("personal", "flips", "window", "device", "threads")}
