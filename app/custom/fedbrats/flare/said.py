"""What a job's method has a site say besides its update, as it travels: `{cases: {name: value}}` under SAID_KEY.

A value is a number, an array of numbers in one dimension, or a mapping of the update's names to arrays of its shapes.
The site's gate judges all of it by these forms, whatever the method declares; personal names leave it with the update.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, get_args

import numpy as np
from nvflare.apis.dxo import DXO

from fedbrats.errors import UpdateError
from fedbrats.federation.said import MOST_ENTRIES, MOST_NUMBERS, Cases, is_finite_number
from fedbrats.flare.protocol import SAID_KEY

LONGEST_NAME = 40


def read_said(dxo: DXO) -> dict[str, Any]:
    """What a site says, by name; what cannot be read is left out, and missed by who needs it. Never raises."""
    said = dxo.get_meta_prop(SAID_KEY)
    parts = [said[cases] for cases in get_args(Cases) if isinstance(said, Mapping) and cases in said]
    return {
        name: value
        for part in parts
        if isinstance(part, Mapping)
        for name, value in list(part.items())[:MOST_ENTRIES]
        if isinstance(name, str)
    }


def keep_said(dxo: DXO, names: Collection[str]) -> None:
    """Leave only these names in the mappings of what is said."""
    for part in (dxo.get_meta_prop(SAID_KEY) or {}).values():
        for name, value in part.items():
            if isinstance(value, Mapping):
                part[name] = {key: value[key] for key in names if key in value}


def judge_said(dxo: DXO, known_cases: Mapping[str, int], min_cases: int) -> None:
    """Take out what tells of fewer cases than `min_cases`, and what the update does not hold either.

    Args:
        known_cases: how many distinct cases stand behind each part.

    Raises: UpdateError for anything that is of no known form.
    """
    said = dxo.get_meta_prop(SAID_KEY)
    if said is None:
        return
    if not isinstance(said, dict) or not said.keys() <= set(get_args(Cases)):
        raise UpdateError("nothing is sent: what the job's method says is of no known form")
    for cases in [cases for cases in said if known_cases.get(cases, 0) < min_cases]:
        del said[cases]
    for part in said.values():
        if not isinstance(part, dict) or len(part) > MOST_ENTRIES:
            raise UpdateError("nothing is sent: what the job's method says is of no known form")
        for name, value in part.items():
            if not isinstance(name, str) or not name.isidentifier() or len(name) > LONGEST_NAME:
                raise UpdateError("nothing is sent: what the job's method says has a name that is none")
            if not is_finite_number(value) and not _is_array(value) and not _is_like(value, dxo):
                raise UpdateError(f"nothing is sent: what the job's method says as {name} is of no known form")
    keep_said(dxo, dxo.data)
    if not said:
        dxo.meta.pop(SAID_KEY)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim == 1 and value.size <= MOST_NUMBERS


def _is_like(value: Any, dxo: DXO) -> bool:
    """Whether it is a mapping whose arrays have the shapes of the update's, of the names that the update still has."""
    return isinstance(value, dict) and all(
        isinstance(array, np.ndarray) and array.dtype.kind == "f" and array.shape == np.shape(dxo.data[name])
        for name, array in value.items()
        if name in dxo.data
    )
