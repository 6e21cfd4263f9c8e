"""Write a network as ONNX, for runtimes other than PyTorch."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from fedbrats.atomic import write_bytes_atomic
from fedbrats.data.cases.case import MODALITIES
from fedbrats.errors import ConfigurationError
from fedbrats.model.saved import SavedModel

OPSET = 17


def write_onnx(model: SavedModel, path: Path, shape: Sequence[int]) -> None:
    """Write the network for one prepared volume or window of this shape: `image` (1, 4, x, y, z) to `logits`.

    The preparation is not in it: the values expected are those that fedbrats prepares (see the bundle's metadata).
    Raises: ConfigurationError for a shape that the network would have to pad, or where the package onnx is not there.
    """
    divisor = model.network.divisor
    if any(side % divisor or side < 2 * divisor for side in shape):
        raise ConfigurationError(
            f"the shape {' x '.join(map(str, shape))} does not suit this network; each side must be a multiple of "
            f"{divisor}, and at least {2 * divisor}"
        )
    image = torch.zeros(1, len(MODALITIES), *shape)
    with tempfile.TemporaryDirectory(prefix="fedbrats-onnx-") as folder:
        exported = Path(folder) / "model.onnx"
        _export(model, image, exported)
        content = exported.read_bytes()
    write_bytes_atomic(path, lambda stream: stream.write(content))


def _export(model: SavedModel, image: torch.Tensor, path: Path) -> None:
    try:
        with warnings.catch_warnings():  # the tracer warns of sizes that become constants, which is what we ask for
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model.network.cpu(),
                (image,),
                path,
                input_names=["image"],
                output_names=["logits"],
                opset_version=OPSET,
                dynamo=False,
            )
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"ONNX needs the package {error.name}; pip install {error.name}") from None
