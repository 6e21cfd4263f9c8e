"""What every command that takes a trained model understands alike."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedbrats.cli.arguments import one_run, run_path, whole_number
from fedbrats.cli.progress import say
from fedbrats.errors import ConfigurationError, DataError
from fedbrats.run_folder import find_personal, personal_of_sites

if TYPE_CHECKING:
    from fedbrats.model.prediction import Predictor
    from fedbrats.model.saved import SavedModel

POC_WORKSPACE = Path("build/poc")  # the default of `fedbrats poc`
WHERE = "personal.npz in the personal_dir of the site's kit; of a job on a workstation RESULTS/sites/SITE/personal.npz"


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


def require_models(paths: Sequence[Path]) -> None:
    """Raise DataError for a model that is not there, before PyTorch is imported, which takes seconds."""
    for path in paths:
        if not path.exists():
            raise DataError(f"{path} is not there")


def load_whole(args: argparse.Namespace) -> SavedModel:
    """The one model that the arguments name, every weight of it trained. Raises: as `load_each`."""
    return load_each(one_run(args.model), args.personal)


def load_each(run: Path, personal: str | None) -> SavedModel:
    """A model with every weight of it trained.

    Warns where the model is not the one that the job's sites ended with, as after rounds that stayed at home.
    Raises: DataError, UpdateError; ConfigurationError for a model whose personal part is not given, or is not known.
    """
    from fedbrats.model.saved import load_model

    model = load_model(run, find_personal(run, personal, POC_WORKSPACE) if personal else None)
    if model.untrained and model.is_personal:
        raise ConfigurationError(
            f"{personal} lacks {model.untrained[0]!r}, which the sites of {model.path} never shared (personal: "
            f"{model.personal}), so that it is untrained; give the personal weights of that job: {WHERE}"
        )
    if model.untrained:
        raise ConfigurationError(
            f"{model.path} is untrained in {len(model.untrained)} of its arrays, which its sites never shared "
            f"(personal: {model.personal}); add a site's own with --personal{_sites_with_some(run)}; or fit it "
            f"to a site's cases with `fedbrats personalise`"
        )
    if model.personal_rounds and not model.is_personal:
        say(
            f"warning: {model.path} is the model before the last {model.personal_rounds} rounds, in which each site "
            f"trained its own; the job's Dice is of those, and --personal takes one:{_sites_with_some(run)}"
        )
    return model


def _sites_with_some(run: Path) -> str:
    """How to name the personal weights of a run: by the sites that have some here, else where they lie."""
    sites = ", ".join(personal_of_sites(run, POC_WORKSPACE))
    return f" SITE ({sites})" if sites else f" FILE: {WHERE}"


def open_predictor(args: argparse.Namespace) -> Predictor:
    """The model that the arguments name, or several whose probabilities are averaged, ready to predict.

    Raises: as `load_each`.
    """
    import torch

    from fedbrats.model.device import choose_device
    from fedbrats.model.prediction import Predictor

    if args.threads:
        torch.set_num_threads(args.threads)
    window = tuple(args.window) if args.window else None
    if args.personal and Path(args.personal).is_file() and len(args.model) > 1:
        raise ConfigurationError(f"{args.personal} belongs to one run, and {len(args.model)} are given; name that one")
    model, *others = [load_each(run, args.personal) for run in args.model]
    if others:
        say(f"{len(args.model)} models, whose probabilities are averaged: {', '.join(map(str, args.model))}")
    return Predictor(model, choose_device(args.device), window, args.flips, tuple(others))
