"""Jobs and kits that another version of this package made, told by what they say and by the classes that they name."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import fedbrats
from fedbrats.errors import ConfigurationError
from fedbrats.jobs.version_rule import MADE_BY, why_refused
from fedbrats.shipped import PACKAGE_DIR

_CLASS = re.compile(r"fedbrats(?:\.[A-Za-z_]\w*)+\.[A-Z]\w*", re.ASCII)
MOST_SHOWN = 3
LONGEST_NAME = 200


def find_missing(node: Any) -> list[str]:
    """The classes of this package, anywhere in a configuration, that this version does not have."""
    return sorted({text for text in _texts(node) if is_ours(text) and not has_class(text)})


def is_ours(text: str) -> bool:
    """Whether a text looks like the name of a class of this package."""
    return len(text) <= LONGEST_NAME and _CLASS.fullmatch(text) is not None


def say_missing(names: list[str]) -> str:
    """Why what names these classes cannot be used, as a clause."""
    shown = ", ".join(names[:MOST_SHOWN]) + (" ..." if len(names) > MOST_SHOWN else "")
    return f"fedbrats {fedbrats.__version__} has no {shown}: another version made it"


def check_job_version(job_dir: Path) -> None:
    """Refuse a built job of another version. Raises: ConfigurationError."""
    for config_dir in sorted(job_dir.glob("*/config")):
        check_config_version(config_dir)


def check_config_version(config_dir: Path) -> None:
    """Refuse the `config` folder of an application of another version. Raises: ConfigurationError."""
    for path in sorted(config_dir.glob("*.json")):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            missing = find_missing(document)
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"cannot read {path}: {error}") from None
        if isinstance(document, dict) and (why := why_refused(document.get(MADE_BY))):
            raise ConfigurationError(why)
        if missing:
            raise ConfigurationError(
                f"the job cannot run: {say_missing(missing)}; build it again with this version, `fedbrats job build`"
            )


@cache
def has_class(name: str) -> bool:
    """Whether this version has a class; reads the module's text and imports nothing.

    Args:
        name: with its module, such as `fedbrats.flare.server.recorder.Recorder`.
    """
    _, *rooms, found = name.split(".")
    module = PACKAGE_DIR.joinpath(*rooms)
    file = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
    if not file.is_file():
        return False
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return any(isinstance(node, ast.ClassDef) and node.name == found for node in body)


def _texts(node: Any) -> Iterator[str]:
    """Every text in nested dictionaries and lists, keys left out."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for each in node.values():
            yield from _texts(each)
    elif isinstance(node, list | tuple):
        for each in node:
            yield from _texts(each)
