"""Where to compute."""

from __future__ import annotations

import torch

from fedbrats.errors import ConfigurationError


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` is a CUDA GPU where there is one. Raises: ConfigurationError if there is none."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigurationError(f"device {name!r} is not known; give auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigurationError(f"device {name!r} is not there: {torch.cuda.device_count()} CUDA devices were found")
    return device
