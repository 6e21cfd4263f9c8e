"""Where to compute."""

from __future__ import annotations

import psutil
import torch

from fedbrats.data.container import memory_left
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


def gpu_memory(name: str) -> int | None:
    """Bytes of the GPU of that name; None where it is no GPU. Raises: ConfigurationError as `choose_device`."""
    device = choose_device(name)
    return torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else None


def free_memory() -> int:
    """Bytes of the machine that are free, within the limit of a container."""
    limit = memory_left()
    free = int(psutil.virtual_memory().available)
    return free if limit is None else min(free, limit)
