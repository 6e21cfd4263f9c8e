"""The state of the server's own optimiser (FedOpt), as named arrays, and the network it moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def read_optimiser(generator: Any) -> dict[str, np.ndarray]:
    """The arrays of a shareable generator's optimiser by `parameter/name`; none where it has no optimiser."""
    optimiser = getattr(generator, "optimizer", None)
    if optimiser is None:
        return {}
    return {
        f"{parameter}/{name}": value.detach().cpu().numpy().copy()
        for parameter, values in optimiser.state_dict()["state"].items()
        for name, value in values.items()
        if value is not None
    }


def set_optimiser(generator: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Give a shareable generator's optimiser the state that `read_optimiser` has read."""
    if not arrays:
        return
    import torch

    state: dict[int, dict[str, Any]] = {}
    for key, value in arrays.items():
        parameter, _, name = key.partition("/")
        state.setdefault(int(parameter), {})[name] = torch.from_numpy(np.array(value))
    optimiser = generator.optimizer
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def set_network(network: Any, weights: Mapping[str, np.ndarray]) -> None:
    """Set a network of torch, whose parameters the server's optimiser moves."""
    import torch

    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
