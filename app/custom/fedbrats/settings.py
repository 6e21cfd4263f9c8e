"""Read a dataclass of settings from JSON: an unknown name or a value of the wrong kind is refused, never ignored."""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from fedbrats.errors import ConfigurationError

T = TypeVar("T")


def read_settings(kind: type[T], document: Mapping[str, Any], what: str) -> T:
    """An instance of the dataclass `kind` with the values of `document`; names it does not give keep their defaults.

    Lists become tuples and whole numbers serve as floats, as JSON knows no difference.

    Raises: ConfigurationError naming `what` (say "training"), the name, and the closest one there is.
    """
    hints = get_type_hints(kind)
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    values = {}
    for name, value in document.items():
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
            raise ConfigurationError(f"{what} setting {name!r} is not known; {hint}")
        value = tuple(value) if isinstance(value, list) else value
        if not _fits(value, hints[name]):
            raise ConfigurationError(f"{what} setting {name} is {value!r}, expected {_describe(hints[name])}")
        values[name] = value
    return kind(**values)


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) in (Union, types.UnionType):
        return any(_fits(value, choice) for choice in get_args(hint))
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_fits, value, kinds))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _describe(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_describe(choice) for choice in get_args(hint))
    if get_origin(hint) is tuple:
        return f"a list of {len(get_args(hint))} numbers"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a text", type(None): "null"}.get(
        hint, str(hint)
    )
