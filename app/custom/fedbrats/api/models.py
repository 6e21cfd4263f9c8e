"""Trained models as they are asked for: by a run or a file, with a site's personal weights, alone or several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedbrats.api.progress import Watch
from fedbrats.errors import ConfigurationError, DataError
from fedbrats.run_folder import find_personal, personal_of_sites

if TYPE_CHECKING:
    from fedbrats.model.prediction import Predictor
    from fedbrats.model.saved import SavedModel

POC_WORKSPACE = Path("build/poc")  # the default of `fedbrats poc`
WHERE = "personal.npz in the personal_dir of the site's kit; of a job on a workstation RESULTS/sites/SITE/personal.npz"


def require_models(paths: Sequence[Path]) -> None:
    """Raise DataError for a model that is not there, before PyTorch is imported, which takes seconds."""
    for path in paths:
        if not path.exists():
            raise DataError(
                f"{path} is not there; give a results folder or a model file in one, or start the command in the "
                f"folder that has results/, where `latest` and a job's name are known"
            )


def load_each(run: Path, personal: str | None, watch: Watch) -> SavedModel:
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
        watch.warn(
            f"warning: {model.path} is the model before the last {model.personal_rounds} rounds, in which each site "
            f"trained its own; the job's Dice is of those, and --personal takes one:{_sites_with_some(run)}"
        )
    return model


def _sites_with_some(run: Path) -> str:
    """How to name the personal weights of a run: by the sites that have some here, else where they lie."""
    sites = ", ".join(personal_of_sites(run, POC_WORKSPACE))
    return f" SITE ({sites})" if sites else f" FILE: {WHERE}"


def open_predictor(
    models: Sequence[Path],
    watch: Watch,
    *,
    personal: str | None = None,
    flips: bool = False,
    window: Sequence[int] | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> Predictor:
    """One model, or several whose probabilities are averaged, ready to predict.

    Raises: as `load_each`.
    """
    import torch

    from fedbrats.model.device import choose_device
    from fedbrats.model.prediction import Predictor

    if threads:
        torch.set_num_threads(threads)
    size = (window[0], window[1], window[2]) if window else None
    if personal and Path(personal).is_file() and len(models) > 1:
        raise ConfigurationError(f"{personal} belongs to one run, and {len(models)} are given; name that one")
    model, *others = [load_each(run, personal, watch) for run in models]
    if others:
        watch.say(f"{len(models)} models, whose probabilities are averaged: {', '.join(map(str, models))}")
    return Predictor(model, choose_device(device), size, flips, tuple(others))
