"""How a table of settings is declared: each setting once, with its type, bounds, default and meaning, in pydantic.

A subclass of `Settings` is such a declaration; the docstring under a field is its meaning. What is read, checked,
listed and documented comes from it. A name that it does not have and a value out of bounds are refused in one sentence
of ours, never ignored.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from fedbrats.errors import ConfigurationError

MOST_SHOWN = 100  # characters of a value in a sentence
SMALLEST_SIDE, LARGEST_SIDE = 8, 4096  # voxels
Side = Annotated[int, Field(ge=SMALLEST_SIDE, le=LARGEST_SIDE)]
# Three sides in voxels, (x, y, z); JSON has lists only.
Sides = Annotated[
    tuple[Side, Side, Side],
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
    Field(json_schema_extra={"kind": f"three whole numbers from {SMALLEST_SIDE} to {LARGEST_SIDE}"}),
]
# The path of a class as FLARE's configurations have it; arguments of a component are JSON.
ClassPath = Annotated[
    str,
    Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$", json_schema_extra={"kind": "the path of a class, with dots"}),
]
_KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "a text",
    "array": "a list",
    "object": "a table",
}


class Settings(BaseModel):
    """A table of settings that cannot be changed once it is read.

    Whole numbers serve as numbers, as JSON knows no difference; nothing else is converted.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigurationError(_sentence(type(self), values, error)) from None

    @classmethod
    def read(cls, document: Any, source: str) -> Self:
        """Settings from JSON; names that it does not give keep their defaults.

        Raises: ConfigurationError naming `source` (say "training"), the setting and what was expected.
        """
        if not isinstance(document, Mapping):
            raise ConfigurationError(f"{source} is {show(document)}, expected a table of settings")
        for name in document:
            if name not in cls.model_fields and cls.model_config["extra"] == "forbid":
                raise ConfigurationError(f"{source} has no setting {show(name)}; {suggest(name, cls.model_fields)}")
        try:
            return cls(**{name: value for name, value in document.items() if name in cls.model_fields})
        except ConfigurationError as error:
            raise ConfigurationError(f"{source}: {error}") from None

    def changed(self, **changes: Any) -> Self:
        """A copy with some settings changed, checked like any other. Raises: ConfigurationError."""
        return type(self)(**{**dict(self), **changes})


@dataclass(frozen=True)
class Declaration:
    """What is declared of one setting.

    Attributes:
        name: as it stands in a configuration.
        kind: its type in words, such as "a whole number".
        bounds: in words, such as "from 0 to 1"; empty where there are none.
        nullable: whether null is a value of it.
        required: whether there is no default.
        default: as JSON has it; None where it is required.
        meaning: one sentence.
    """

    name: str
    kind: str
    bounds: str
    nullable: bool
    required: bool
    default: Any
    meaning: str

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        return " ".join(filter(None, (self.kind, self.bounds, "or null" if self.nullable else "")))


@cache
def declarations(table: type[Settings]) -> Mapping[str, Declaration]:
    """The settings of a table, by name."""
    schema = table.model_json_schema()
    required = schema.get("required", ())
    return {name: _declaration(name, each, name in required) for name, each in schema["properties"].items()}


def show(value: Any) -> str:
    """A value as JSON writes it, cut where it is long."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + " ..."


def suggest(name: Any, known: Iterable[str]) -> str:
    """What may have been meant: the closest name, or every name where none is close."""
    known = sorted(known)
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(known)}"


def _sentence(table: type[Settings], values: Mapping[str, Any], error: ValidationError) -> str:
    """The first thing that is wrong, in our words."""
    first = error.errors(include_url=False, include_context=False)[0]
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return f"there is no setting {show(name)}; {suggest(name, table.model_fields)}"
    expected = declarations(table)[name].expected
    if first["type"] == "missing" and len(first["loc"]) == 1:
        return f"{name} is missing, expected {expected}"
    return f"{name} is {show(values[name])}, expected {expected}"


def _declaration(name: str, schema: Mapping[str, Any], required: bool) -> Declaration:
    """A setting from the JSON schema that pydantic makes of it."""
    choices = schema.get("anyOf", [schema])
    nullable = any(each.get("type") == "null" for each in choices)
    [inner] = [each for each in choices if each.get("type") != "null"]
    kind, bounds = schema.get("kind") or inner.get("kind"), ""
    if kind is None and "enum" in inner:
        kind = f"one of {', '.join(inner['enum'])}"
    elif kind is None:
        kind, bounds = _KINDS[inner["type"]], _bounds(inner)
    default = schema.get("default")
    return Declaration(name, kind, bounds, nullable, required, default, " ".join(schema.get("description", "").split()))


def _bounds(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    low = f"from {plain(least)}" if least is not None else f"above {plain(above)}" if above is not None else ""
    high = f"to {plain(most)}" if most is not None else f"to below {plain(below)}" if below is not None else ""
    return f"{low} {'up ' if above is not None and high else ''}{high}".strip()


def plain(number: float) -> str:
    """A number without a needless fraction or exponent."""
    return str(int(number)) if float(number).is_integer() and abs(number) < 1e12 else f"{number:g}"
