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
from typing import Any, TypeVar

import numpy as np
import torch

from fedbrats.array_files import read_arrays, read_checkpoint
from fedbrats.data.prepare.cache import CacheSettings
from fedbrats.errors import ConfigurationError, DamagedFileError, DataError, UpdateError
from fedbrats.extensions.choice import read_choice
from fedbrats.extensions.loading import allow_registered
from fedbrats.federation.sharing import SHARED_WHOLE
from fedbrats.model.network import SegmentationNetwork
from fedbrats.model.settings import InferenceSettings, Sharing, TrainingSettings
from fedbrats.run_folder import FINAL_MODELS, SUMMARY_FILE, final_model
from fedbrats.settings import Settings

_WRONG_VALUES = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError, AssertionError)
Table = TypeVar("Table", bound=Settings)
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
    preparation = _read(CacheSettings, _entry(described, "preparation", path), f"{path}, its preparation")
    try:
        choice = read_choice(options.get("preset", "fast"), "network")
        if choice.is_path:  # a file imports nothing that no installed package offers
            allow_registered("network", choice.name)
        network = SegmentationNetwork(**options)
    except ConfigurationError as error:
        raise DataError(f"{path} cannot be loaded: {error}") from None
    except (*_WRONG_VALUES, MemoryError) as error:
        raise DataError(f"{path} names a network that cannot be built: {_first_line(error)}") from None
    _check_sizes(document["model"], network, path)
    weights = {name: value.float() for name, value in document["model"].items()}
    _fill(network, weights, path)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    inference = _read_inference(settings, path)
    sharing, untrained = _read_sharing(_entry(described, "sharing", path), network, path)
    model = SavedModel(
        path,
        checksum,
        network,
        options,
        preparation,
        inference.inference_window,
        component_share=inference.component_share,
        final_flips=inference.final_flips,
        settings={name: settings[name] for name in _SETTINGS if name in settings},
        personal=sharing.personal,
        personal_rounds=sharing.personal_rounds,
        untrained=untrained,
    )
    return lay_over(model, personal) if personal else model


def _check_sizes(weights: Mapping[str, torch.Tensor], network: SegmentationNetwork, path: Path) -> None:
    """Raise UpdateError for a tensor of another size than the network's: a few kilobytes may say they are 160 GB."""
    known = network.state_dict()
    for name, value in weights.items():
        if name in known and value.numel() != known[name].numel():
            raise UpdateError(
                f"the weights in {path} do not fit the network they name: {name} has {value.numel()} numbers, and the "
                f"network's has {known[name].numel()}"
            )
    if unknown := next((name for name in weights if name not in known), None):
        raise UpdateError(f"the weights in {path} do not fit the network they name: it has no {unknown!r:.100}")


def _entry(described: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    """What a model says of itself under a name. Raises: DataError where that is no table."""
    value = described.get(name) or {}
    if not isinstance(value, Mapping):
        raise DataError(f"{path} says {value!r} under {name!r}, expected a table of settings")
    return dict(value)


def _read_inference(settings: Mapping[str, Any], path: Path) -> InferenceSettings:
    """How a model predicts; one that does not say keeps all parts and mirrors nothing. Raises: DataError."""
    said = {name: settings[name] for name in InferenceSettings.model_fields if settings.get(name)}
    return _read(InferenceSettings, {"component_share": 0.0, "final_flips": False, **said}, f"{path}, its settings")


def _read_sharing(
    sharing: Mapping[str, Any], network: SegmentationNetwork, path: Path
) -> tuple[Sharing, tuple[str, ...]]:
    """(what its job shared, untrained names). Raises: DataError for a set that the network does not have."""
    read = _read(Sharing, sharing, f"the job of {path}")
    try:
        return read, network.personal_names(read.personal)
    except ConfigurationError as error:
        raise DataError(f"the job of {path} has personal weights that its network has not: {error}") from None


def _read(table: type[Table], document: Mapping[str, Any], source: str) -> Table:
    """A table of settings of a model. Raises: DataError, for it is the model that cannot be used."""
    try:
        return table.read(document, source)
    except ConfigurationError as error:
        raise DataError(str(error)) from None


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
            "network": {"preset": variables["network"], "seed": variables["seed"]},
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
