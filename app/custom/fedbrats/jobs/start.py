"""The start of a job, its first weights: read, judged, and put into the signed job as safetensors.

A start is `none` (weights drawn from the seed), `phantoms` (the weights in this package, which `fedbrats pretrain` made
from synthetic cases alone), or a model that the submitter has. A job never names a file at a site or at the server.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fedbrats.array_files import read_safetensors
from fedbrats.atomic import write_bytes_atomic
from fedbrats.errors import ConfigurationError, DataError, FedbratsError
from fedbrats.jobs.models import MODELS_FOLDER, SUFFIX
from fedbrats.shipped import shipped_dir

NONE, GIVEN = "none", "given"
AUTO, PHANTOMS = "auto", "phantoms"
START_FILE = f"start{SUFFIX}"
STARTS_FOLDER = "starts"  # beside the jobs that are shipped
_ABOUT = "fedbrats"  # the one entry of a file's metadata, as JSON: safetensors writes several in an order of chance


def read_start(value: str, network: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
    """The first weights, float32 by name, that a job's variable `start` names at the submitter; None for no start.

    Args:
        value: `none`; `phantoms`; `auto`, which is `phantoms` where this package has such weights for the network,
            else `none`; or the path of a safetensors file of `fedbrats pretrain`, of a model file, of a results folder
            or of a MONAI bundle of fedbrats.
        network: the arguments of SegmentationNetwork in the job.

    Raises: ConfigurationError where there is no such start for this network; DataError for a file that is damaged.
    """
    if value == NONE:
        return None
    if value in (AUTO, PHANTOMS):
        return _read_shipped(value, network)
    path = Path(value)
    if not path.exists():
        raise ConfigurationError(f"start is {value}, expected auto, phantoms, none or a model that is here")
    return _fitting(_read_weights(path), network, path)


def check_start_file(path: Path) -> None:
    """Find out before hours of training whether a start can be written there. Raises: ConfigurationError."""
    if path.suffix != SUFFIX or path.is_dir():
        raise ConfigurationError(f"a start cannot be written to {path}, expected a file whose name ends with {SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ConfigurationError(f"a start cannot be written to {path}: {error.strerror or error}") from None


def write_start(path: Path, weights: Mapping[str, np.ndarray], network: str, about: Mapping[str, str]) -> None:
    """Write weights as a start file, in float16: half the bytes, and 0.1 % of a weight at most.

    Args:
        network: the preset that the weights are of.
        about: how they were made, kept in the file.

    Raises: DataError for weights that float16 cannot hold.
    """
    from safetensors.numpy import save

    with np.errstate(over="ignore"):
        halves = {name: np.ascontiguousarray(value, dtype=np.float16) for name, value in weights.items()}
    if not all(np.isfinite(value).all() for value in halves.values()):
        raise DataError("the trained weights hold numbers that are not finite in float16, and are not written")
    content = save(halves, metadata={_ABOUT: json.dumps({**about, "network": network}, sort_keys=True)})
    write_bytes_atomic(path, lambda stream: stream.write(content))


def shipped_start(preset: str) -> Path:
    """Where this package has the weights for a preset of the network that are made from phantoms, if it has any."""
    return shipped_dir() / STARTS_FOLDER / f"{preset}{SUFFIX}"


def pack_start(start: Mapping[str, np.ndarray], app: Path) -> str:
    """Put a start into the app of a job that is being built, in float16 where that holds it exactly.

    Returns: the SHA-256 of what was written.
    """
    content = _pack(start)
    path = app / MODELS_FOLDER / START_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomic(path, lambda stream: stream.write(content))
    return hashlib.sha256(content).hexdigest()


def unpack_start(
    models_folder: Path, expected: Mapping[str, np.ndarray], sha256: str | None = None
) -> dict[str, np.ndarray]:
    """The start inside a deployed job, judged as a model that arrives is: names, shapes, finite numbers.

    Args:
        expected: the weights of the network.
        sha256: of the file, where the job says it.

    Raises: DataError where there is none, it is not what the job says, or it does not fit the network.
    """
    path = models_folder / START_FILE
    try:
        if sha256 and hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            raise DataError("its checksum is not the one that the job says")
        weights, _ = read_safetensors(path)
    except FileNotFoundError:
        raise DataError("the job says that it has a start, and holds none; build it again") from None
    except (FedbratsError, OSError) as error:
        raise DataError(f"the start of the job is damaged: {error}") from None
    _require_fit(weights, {name: np.shape(value) for name, value in expected.items()}, "the start of the job")
    return {name: value.astype(np.float32) for name, value in weights.items()}


def weights_sha256(start: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of the file that a job made with these weights holds."""
    return hashlib.sha256(_pack(start)).hexdigest()


def _pack(start: Mapping[str, np.ndarray]) -> bytes:
    """A start as the bytes of a safetensors file, in float16 where that holds an array exactly."""
    from safetensors.numpy import save

    with np.errstate(over="ignore"):
        halves = {name: value.astype(np.float16) for name, value in start.items()}
    return bytes(
        save(
            {
                name: np.ascontiguousarray(halves[name] if np.array_equal(halves[name], value) else value)
                for name, value in start.items()
            }
        )
    )


def _read_shipped(value: str, network: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
    preset = network["preset"]
    path = shipped_start(preset)
    if path.exists() and not set(network) - {"preset", "seed"}:
        return _read_weights(path)  # made for this network, which a test holds; PyTorch takes seconds to import
    if value == AUTO:
        return None
    raise ConfigurationError(
        f"start is {value}, and this package has no such weights for the network {preset}, only for "
        f"{', '.join(sorted(each.stem for each in path.parent.glob(f'*{SUFFIX}'))) or 'none'}; set start=none, or make "
        f"some with `fedbrats pretrain --network {preset} --out FILE` and set start=FILE"
    )


def _read_weights(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == SUFFIX:
        try:
            weights, _ = read_safetensors(path)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
        return {name: value.astype(np.float32) for name, value in weights.items()}
    from fedbrats.model.saved import load_model

    state = load_model(path).network.state_dict()
    return {name: value.float().numpy() for name, value in state.items()}


def _fitting(weights: dict[str, np.ndarray], network: Mapping[str, Any], path: Path) -> dict[str, np.ndarray]:
    from fedbrats.model.network import SegmentationNetwork

    shapes = {name: tuple(value.shape) for name, value in SegmentationNetwork(**network).state_dict().items()}
    _require_fit(weights, shapes, f"the start {path}")
    return weights


def _require_fit(weights: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], what: str) -> None:
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if found != dict(shapes):
        wrong = [name for name in {**shapes, **found} if found.get(name) != shapes.get(name)][0]  # noqa: RUF015
        raise DataError(
            f"{what} is of another network than the job's: {wrong} is {found.get(wrong, 'missing')}, expected "
            f"{shapes.get(wrong, 'no such weight')}"
        )
    if not all(value.dtype.kind == "f" and np.isfinite(value).all() for value in weights.values()):
        raise DataError(f"{what} holds values that are no finite numbers")
