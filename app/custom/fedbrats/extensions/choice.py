"""How a job names a class and its arguments: `"mine.Net"`, or `{"mine.Net": {"width": 8}}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema

from fedbrats.errors import ConfigurationError
from fedbrats.settings import show

CLASS_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)
MOST_HOOKS, LONGEST_PATH = 16, 200


@dataclass(frozen=True)
class Choice:
    """A class, or a name of this package's own, and arguments."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_path(self) -> bool:
        """Whether it names a class, with its module."""
        return is_class_path(self.name)

    def as_json(self) -> Any:
        """As a job's variable holds it."""
        return {self.name: dict(self.arguments)} if self.arguments else self.name


def is_class_path(text: Any) -> bool:
    """Whether a text is the path of a class."""
    return isinstance(text, str) and len(text) <= LONGEST_PATH and CLASS_PATH.fullmatch(text) is not None


def read_choice(value: Any, variable: str) -> Choice:
    """The class or name that a variable chooses. Raises: ConfigurationError."""
    if isinstance(value, str):
        return Choice(value)
    if isinstance(value, Mapping) and len(value) == 1:
        [(name, arguments)] = value.items()
        if is_class_path(name) and isinstance(arguments, Mapping):
            return Choice(name, dict(arguments))
    raise ConfigurationError(f"{variable} is {show(value)}, expected a name, or the path of a class with its arguments")


def read_choices(value: Any, variable: str) -> list[Choice]:
    """The classes in a table from paths to arguments, in its order. Raises: ConfigurationError."""
    if not isinstance(value, Mapping) or len(value) > MOST_HOOKS:
        raise ConfigurationError(
            f"{variable} is {show(value)}, expected a table from paths of classes to arguments, {MOST_HOOKS} at most"
        )
    return [read_choice({name: arguments}, variable) for name, arguments in value.items()]


def _checked_choice(value: Any) -> Any:
    try:
        return read_choice(value, "it").as_json()
    except ConfigurationError as error:
        raise ValueError(str(error)) from error


def _checked_choices(value: Any) -> Any:
    try:
        return {each.name: dict(each.arguments) for each in read_choices(value, "they")}
    except ConfigurationError as error:
        raise ValueError(str(error)) from error


# A variable that names something of this package, or a class of somebody's own, alone or with its arguments.
NamedClass = Annotated[
    Any,
    AfterValidator(_checked_choice),
    WithJsonSchema({"type": "string", "kind": "a name, or the path of a class, alone or with its arguments"}),
]
NamedClasses = Annotated[
    dict[str, dict[str, Any]],
    AfterValidator(_checked_choices),
    WithJsonSchema({"type": "object", "kind": "a table from paths of classes to their arguments"}),
]
