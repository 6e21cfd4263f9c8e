"""The arguments of a class of somebody's own as a table of settings: type, bounds and default from its constructor,
meaning from its docstring."""

from __future__ import annotations

import inspect
import re
import typing
from typing import Any

from pydantic import Field, create_model
from pydantic.errors import PydanticUserError

from fedbrats.errors import ConfigurationError
from fedbrats.settings import Settings, declarations

_SECTION = re.compile(r"^(\s*)Args:\s*$", re.MULTILINE)
_ENTRY = re.compile(r"^(\w+)(?:\s*\([^)]*\))?:\s*(.*)$")
_KINDS = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)


def table_of(found: type[Any]) -> type[Settings]:
    """The arguments of a class's constructor as a table of settings.

    Bounds come from annotations, `Annotated[float, Field(ge=0, lt=1)]` with pydantic's Field.

    Raises: ConfigurationError for an argument without an annotation, or of a type that a job cannot hold.
    """
    path = f"{found.__module__}.{found.__qualname__}"
    if not _takes_arguments(found):
        return create_model(found.__name__, __base__=Settings)
    try:
        hints = typing.get_type_hints(found.__init__, include_extras=True)
    except Exception as error:  # whatever evaluating somebody's annotations raises
        raise ConfigurationError(f"{path}: the annotations of __init__ cannot be read: {error!r:.200}") from error
    meanings = read_meanings(inspect.getdoc(found) or "")
    fields: dict[str, Any] = {}
    for name, parameter in list(inspect.signature(found).parameters.items()):
        if parameter.kind in _KINDS or name not in hints:
            raise ConfigurationError(
                f"{path}: the argument {name} needs a name and an annotation, such as `{name}: float = 0.9`, by which "
                f"it is checked before a job starts"
            )
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[name] = (hints[name], Field(default, description=meanings.get(name, "")))
    try:
        table = create_model(found.__name__, __base__=Settings, **fields)
        declarations(table)
    except (PydanticUserError, KeyError, ValueError, TypeError, NameError) as error:
        raise ConfigurationError(
            f"{path}: an argument must be a number, a text, true or false, a list or a table: {str(error)[:200]}"
        ) from error
    return table


def check_arguments(found: type[Any], arguments: dict[str, Any], variable: str) -> None:
    """Hold arguments to the table of a class. Raises: ConfigurationError in one sentence that names the argument."""
    table_of(found).read(arguments, f"{variable} {found.__module__}.{found.__qualname__}")


def read_meanings(doc: str) -> dict[str, str]:
    """The sentence of each argument in the section `Args:` of a docstring in Google's style."""
    match = _SECTION.search(doc)
    if match is None:
        return {}
    found: dict[str, str] = {}
    name, depth = "", None
    for line in doc[match.end() :].splitlines()[1:]:
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        if indent <= len(match[1]):
            break
        depth = indent if depth is None else depth
        entry = _ENTRY.match(line.strip()) if indent == depth else None
        if entry:
            name = entry[1]
            found[name] = entry[2]
        elif name:
            found[name] = f"{found[name]} {line.strip()}"
    return found


def _takes_arguments(found: type[Any]) -> bool:
    """Whether a class has a constructor of its own, and not that of object or of PyTorch's modules."""
    owner = next((parent for parent in found.__mro__ if "__init__" in vars(parent)), object)
    return owner is not object and not owner.__module__.startswith("torch.")
