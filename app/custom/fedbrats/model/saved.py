"""Load a trained model with all that inference needs: its network, its weights and how its cases are prepared.

Three things are read: `model.pt` of `fedbrats train`, which says all of it; a results folder of a job, or one of the
models in it, whose settings stand in `summary.json` beside them; and a site's personal weights, laid over either.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedbrats.arrays import read_arrays, read_checkpoint
from fedbrats.data.prepare.cache import CacheSettings
from fedbrats.errors import ConfigurationError, DamagedFileError, DataError, UpdateError
from fedbrats.model.network import SegmentationNetwork
from fedbrats.model.settings import TrainingSettings
from fedbrats.run_folder import FINAL_MODELS, SUMMARY_FILE, final_model

SHARED_WHOLE = "none"  # the personal set of a job without personal weights
_WRONG_VALUES = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError, AssertionError)
_SETTINGS = tuple(TrainingSettings.model_fields)


@dataclass(frozen=True)
class SavedModel:
    """A model ready for inference.

    path: the file its weights are of. sha256: of that file and of the personal weights laid over it.
    network_options: the arguments that build the network. window: the sliding window it was evaluated with, if any.
    component_share: which parts of a tumour count, as in TrainingSettings; 0, all, for models that do not say.
    final_flips: whether its last evaluation took the mean over mirror images.
    settings: the training settings that it says of itself, by their names in TrainingSettings; not checked.
    personal, personal_rounds: of its job, as its variables have them; a model of `fedbrats train` has neither.
    untrained: the names of its weights that are as they were before training: sites never shared them, and no personal
        weights lie over them. Such a model must not predict.
    """

    path: Path
    sha256: str
    network: SegmentationNetwork
    network_options: dict[str, Any]
    preparation: CacheSettings
    window: tuple[int, int, int] | None = None
    is_personal: bool = False
    component_share: float = 0.0
    final_flips: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    personal: str = SHARED_WHOLE
    personal_rounds: int = 0
    untrained: tuple[str, ...] = ()

    @property
    def has_personal_part(self) -> bool:
        """Whether the sites of its job ended with weights of their own, and were evaluated with those."""
        return self.personal != SHARED_WHOLE or self.personal_rounds > 0


def load_model(path: Path, personal: Path | None = None) -> SavedModel:
    """Load a model file, or the final model of a results folder; `personal` is a site's `personal.npz`.

    What a job's sites never shared is untrained in the common model; it is loaded, and `untrained` says so.
    Raises: DataError for files that are missing or damaged; UpdateError for weights of another network.
    """
    path = _find_file(path)
    document = _read_document(path)
    described = document if "network" in document else _describe_by_summary(path)
    options, settings = _entry(described, "network", path), _entry(described, "settings", path)
    preparation = CacheSettings.from_json(_entry(described, "preparation", path))
    try:
        network = SegmentationNetwork(**options)
    except (*_WRONG_VALUES, MemoryError) as error:
        raise DataError(f"{path} names a network that cannot be built: {_first_line(error)}") from None
    weights = {name: value.float() for name, value in document["model"].items()}
    _fill(network, weights, path)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    window, share, flips = _read_settings(settings, path)
    kind, rounds, untrained = _read_personal_set(_entry(described, "sharing", path), network, path)
    model = SavedModel(
        path,
        checksum,
        network,
        options,
        preparation,
        window,
        component_share=share,
        final_flips=flips,
        settings={name: settings[name] for name in _SETTINGS if name in settings},
        personal=kind,
        personal_rounds=rounds,
        untrained=untrained,
    )
    return lay_over(model, personal) if personal else model


def _entry(described: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    """What a model says of itself under a name. Raises: DataError where that is no table."""
    value = described.get(name) or {}
    if not isinstance(value, Mapping):
        raise DataError(f"{path} says {value!r} under {name!r}, expected a table of settings")
    return dict(value)


def _read_settings(settings: Mapping[str, Any], path: Path) -> tuple[tuple[int, int, int] | None, float, bool]:
    """(window, component_share, final_flips). Raises: DataError for values that cannot be."""
    window, share = settings.get("inference_window"), settings.get("component_share") or 0.0
    flips = settings.get("final_flips") or False
    sides = tuple(window) if isinstance(window, list | tuple) else None
    if window and (sides is None or len(sides) != 3 or not all(type(side) is int and side > 0 for side in sides)):
        raise DataError(f"{path} says inference_window is {window!r}, expected three sides or nothing")
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise DataError(f"{path} says component_share is {share!r}, expected a number from 0 to 1")
    if not isinstance(flips, bool):
        raise DataError(f"{path} says final_flips is {flips!r}, expected true or false")
    return (sides or None), float(share), flips


def _read_personal_set(
    sharing: Mapping[str, Any], network: SegmentationNetwork, path: Path
) -> tuple[str, int, tuple[str, ...]]:
    """(personal, personal_rounds, untrained names). Raises: DataError for a set that the network does not have."""
    personal, rounds = sharing.get("personal", SHARED_WHOLE), sharing.get("personal_rounds", 0)
    if not isinstance(personal, str):
        raise DataError(f"the job of {path} says personal is {personal!r}, expected none, head or another set of names")
    if type(rounds) is not int or rounds < 0:
        raise DataError(f"the job of {path} says personal_rounds is {rounds!r}, expected a whole number from 0")
    try:
        return personal, rounds, network.personal_names(personal)
    except ConfigurationError as error:
        raise DataError(f"the job of {path} has personal weights that its network has not: {error}") from None


def lay_over(model: SavedModel, personal: Path) -> SavedModel:
    """The model with a site's personal weights in place of its own; what they lack stays `untrained`.

    Raises: DataError, UpdateError.
    """
    weights = _read_personal(personal)
    known = model.network.state_dict()
    unknown = sorted(name for name in weights if name not in known)
    if unknown:
        raise UpdateError(
            f"{personal} holds {unknown[0]!r}, which the network of {model.path} does not have; "
            f"personal weights go with the model of their own job"
        )
    merged = {**known, **{name: torch.from_numpy(np.array(value)) for name, value in weights.items()}}
    network = SegmentationNetwork(**model.network_options)
    _fill(network, merged, personal)
    both = hashlib.sha256(f"{model.sha256} {hashlib.sha256(personal.read_bytes()).hexdigest()}".encode())
    untrained = tuple(name for name in model.untrained if name not in weights)
    return replace(model, network=network, sha256=both.hexdigest(), is_personal=True, untrained=untrained)


def _find_file(path: Path) -> Path:
    found = final_model(path)
    if found is None and path.is_dir():
        raise DataError(f"{path} holds no {' or '.join(FINAL_MODELS)}; give a model file, a results folder or a bundle")
    return found or path


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = read_checkpoint(path)
    except FileNotFoundError:
        raise DataError(f"{path} is not there") from None
    except DamagedFileError as error:
        raise DataError(f"no model can be read: {error}") from None
    weights = document.get("model") if isinstance(document, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise DataError(f"{path} holds no weights under 'model'; expected a model that a job or `fedbrats train` wrote")
    return document


def _describe_by_summary(path: Path) -> dict[str, Any]:
    """What FLARE's persistor leaves out of a model: network, preparation, settings and what its job's sites share."""
    summary = path.parent / SUMMARY_FILE
    try:
        document = json.loads(summary.read_text(encoding="utf-8"))
        variables = document["variables"]
        preparation = CacheSettings.from_json(
            {
                "spacing_mm": variables["spacing_mm"],
                "normalisation": variables["normalisation"],
                "shape": variables["volume_shape"],
            }
        )
        return {
            "network": {
                "preset": variables["network"],
                "seed": variables["seed"],
                **(variables.get("network_options") or {}),
            },
            "preparation": preparation.at(document.get("spacing_mm")).model_dump(),
            "settings": {name: variables[name] for name in _SETTINGS if name in variables},
            "sharing": {name: variables[name] for name in ("personal", "personal_rounds") if name in variables},
        }
    except FileNotFoundError:
        raise DataError(
            f"{path} does not say what network it is of, and there is no {SUMMARY_FILE} beside it; "
            f"keep models in the results folder of their job"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{summary} does not say which network {path.name} is of: {error!r}") from None


def _read_personal(path: Path) -> Mapping[str, np.ndarray]:
    try:
        return read_arrays(path)
    except FileNotFoundError:
        raise DataError(f"{path} is not there") from None
    except DamagedFileError as error:
        raise DataError(f"no personal weights can be read: {error}") from None


def _fill(network: SegmentationNetwork, weights: Mapping[str, torch.Tensor], source: Path) -> None:
    try:
        network.load_state_dict(dict(weights))
    except (RuntimeError, ConfigurationError) as error:
        why = str(error).splitlines()[-1].strip()
        raise UpdateError(f"the weights in {source} do not fit the network they name: {why}") from None
    if not all(torch.isfinite(value).all() for value in network.state_dict().values()):
        raise UpdateError(f"the weights in {source} hold NaN or infinity; this model cannot be used")
    network.eval()


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
