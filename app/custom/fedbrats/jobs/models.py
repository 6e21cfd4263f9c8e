"""Models inside a job: safetensors files in its app, signed with it, so that every participant has the submitter's."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedbrats.array_files import read_safetensors
from fedbrats.atomic import write_bytes_atomic
from fedbrats.errors import ConfigurationError, DamagedFileError, DataError
from fedbrats.federation.sharing import personal_at_last
from fedbrats.run_folder import BEST_MODEL, SUMMARY_FILE

if TYPE_CHECKING:
    from fedbrats.model.saved import SavedModel

MODELS_FOLDER = "models"  # in a job's app
SUFFIX = ".safetensors"
_PERSONAL, _JOB = "personal", "job_id"  # in a file's metadata


@dataclass(frozen=True)
class JobModel:
    """A model of a job: its weights, which of them are personal, and the job whose sites keep those."""

    weights: dict[str, np.ndarray]
    personal: str
    job_id: str


def pack_models(paths: Sequence[Path], folder: Path) -> dict[str, Any]:
    """Write each model into `folder`, and return the variables that a job needs to evaluate them.

    paths: results folders or model files in them. A model is named after its job, or after its folder where several are
    of one job.
    Raises: DataError for what is no model; ConfigurationError for models of different networks, preparations or masks.
    """
    from fedbrats.model.saved import load_model  # brings PyTorch

    models = [load_model(path) for path in paths]
    _require_alike(models)
    summaries = [_read_summary(model.path) for model in models]
    names = _name_models(models, summaries)
    for name, model, summary in zip(names, models, summaries, strict=True):
        personal = personal_at_last(model.personal, model.personal_rounds)
        about = {_PERSONAL: personal, _JOB: summary.get("job_id", "")}
        _write(folder / f"{name}{SUFFIX}", model, about)
    first = models[0]
    return {
        "models": names,
        "network": first.network_options["preset"],
        "spacing_mm": first.preparation.spacing_mm,
        "normalisation": first.preparation.normalisation,
        "volume_shape": list(first.preparation.shape) if first.preparation.shape else None,
        "inference_window": list(first.window) if first.window else None,
        "component_share": first.component_share,
        "final_flips": first.final_flips,
    }


def model_names(folder: Path) -> list[str]:
    """The names of the models in a folder."""
    return sorted(path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}"))


def read_job_model(folder: Path, name: str) -> JobModel:
    """Read a model of a job. Raises: DataError for a name that is not there or a file that is damaged."""
    if name not in model_names(folder):
        raise DataError(f"the job holds no model {name!r}; it holds {', '.join(model_names(folder)) or 'none'}")
    try:
        weights, about = read_safetensors(folder / f"{name}{SUFFIX}")
        return JobModel(weights, about[_PERSONAL], about[_JOB])
    except (DamagedFileError, OSError) as error:
        raise DataError(f"the model {name} of the job is damaged: {error}") from None
    except KeyError as error:
        raise DataError(f"the model {name} of the job does not say its {error.args[0]}") from None


def _write(path: Path, model: SavedModel, about: dict[str, str]) -> None:
    from safetensors.numpy import save

    weights = {name: np.ascontiguousarray(value.numpy()) for name, value in model.network.state_dict().items()}
    content = save(weights, metadata=about)
    write_bytes_atomic(path, lambda stream: stream.write(content))


def _require_alike(models: Sequence[SavedModel]) -> None:
    """One job prepares its cases in one way and builds one network."""
    first = models[0]
    for model in models[1:]:
        for what, one, other in (
            ("network", first.network_options["preset"], model.network_options["preset"]),
            ("preparation", first.preparation.model_dump(), model.preparation.model_dump()),
            ("inference_window", first.window, model.window),
            ("component_share", first.component_share, model.component_share),
            ("final_flips", first.final_flips, model.final_flips),
        ):
            if one != other:
                raise ConfigurationError(
                    f"{first.path} and {model.path} differ in their {what} ({one} and {other}); evaluate them in two "
                    f"jobs, and give both results to the report"
                )


def _name_models(models: Sequence[SavedModel], summaries: Sequence[dict[str, Any]]) -> list[str]:
    names = [_name_of(model, summary.get("job")) for model, summary in zip(models, summaries, strict=True)]
    uses = Counter(names)
    longer = [
        name if uses[name] == 1 else _name_of(model, model.path.parent.resolve().name)
        for name, model in zip(names, models, strict=True)
    ]
    if twice := next((name for name, count in Counter(longer).items() if count > 1), None):
        raise ConfigurationError(f"the model {twice} is given twice")
    return longer


def _name_of(model: SavedModel, source: str | None) -> str:
    """A job's or folder's name, with `best` for its selected model; letters, digits, `_` and `-` only."""
    name = source or model.path.stem
    return re.sub(r"[^A-Za-z0-9_-]+", "-", f"{name}-best" if model.path.name == BEST_MODEL else name)


def _read_summary(model: Path) -> dict[str, Any]:
    """What the results folder of a model says of its job; nothing for a file elsewhere."""
    try:
        document = json.loads((model.parent / SUMMARY_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {model.parent / SUMMARY_FILE}: {error}") from None
    return document if isinstance(document, dict) else {}
