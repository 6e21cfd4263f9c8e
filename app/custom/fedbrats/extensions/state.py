"""What the state of a method may hold, so that it survives a killed process bit for bit."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from fedbrats.errors import ConfigurationError

NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)


def check_state(state: Any, who: str) -> None:
    """Refuse a state that could not be kept. Raises: ConfigurationError that names `who` and the entry."""
    if not isinstance(state, Mapping):
        raise ConfigurationError(f"{who}: its state is a {type(state).__name__}, expected a table")
    for name, value in state.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ConfigurationError(f"{who}: {name!r:.60} in its state is no name: letters, digits, `_`, `.` and `-`")
        if isinstance(value, np.ndarray):
            if value.dtype.kind not in "biuf":
                raise ConfigurationError(f"{who}: {name} in its state is an array of {value.dtype}, expected numbers")
            continue
        plain = value.item() if isinstance(value, np.generic) else value
        try:
            same = json.loads(json.dumps(plain)) == plain
        except (TypeError, ValueError, RecursionError):
            same = False
        if not same:
            raise ConfigurationError(
                f"{who}: {name} in its state is a {type(value).__name__} that cannot be kept; take an array, a number, "
                f"a text, or lists and tables (with texts as keys) of those"
            )
