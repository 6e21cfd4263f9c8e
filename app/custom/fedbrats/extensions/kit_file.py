"""The packages whose classes a job may name at this participant, as its kit's local/extensions.json lists them.

Provisioning writes the file: a line a package, with its version and the SHA-256 of its code. Without it there are none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedbrats.atomic import write_json_atomic
from fedbrats.errors import ConfigurationError
from fedbrats.extensions.choice import is_class_path, read_choice, read_choices
from fedbrats.extensions.kinds import KINDS
from fedbrats.extensions.loading import allow, require_allowed
from fedbrats.extensions.packages import Package

EXTENSIONS_FILE = "extensions.json"  # in a kit's local folder
_PACKAGES = "packages"
_NOT_OF_OTHERS = ("fedbrats", "nvflare", "torch")  # packages whose classes stand on the lists of policy.py, or nowhere


def write_extensions(local_dir: Path, packages: Sequence[Package]) -> None:
    """Write the file of a kit; none where there are no packages."""
    if packages:
        document = {_PACKAGES: [package.as_json() for package in packages]}
        write_json_atomic(local_dir / EXTENSIONS_FILE, document)


def read_extensions(local_dir: Path) -> list[Package]:
    """The packages that a kit lists. Raises: ConfigurationError for a file that cannot be read."""
    path = local_dir / EXTENSIONS_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return [Package.read(each, str(path)) for each in document[_PACKAGES]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigurationError(f"cannot read {path}: {error!r:.200}; restore it, or remove it to run none") from None


def server_classes(packages: Sequence[Package]) -> list[str]:
    """The classes of these packages that FLARE itself builds at the server."""
    return sorted({path for package in packages for path in package.classes.get("aggregator", ())})


def judge_named(config: Mapping[str, Any], packages: Sequence[Package]) -> None:
    """Judge the classes that the arguments of a component name, before any of them is imported.

    Args:
        packages: those that this kit lists.

    Raises: ConfigurationError for a class that may not run here, or whose installed code is not what the kit lists.
    """
    named = list(find_named(config))
    allow(packages if named else ())
    for variable, path in named:
        require_allowed(variable, path)


def find_named(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(variable, path) of every class of another package that the arguments of a component name."""
    arguments = config.get("args")
    if not isinstance(arguments, Mapping):
        return
    for each in arguments.values():
        path = each.get("path") if isinstance(each, Mapping) else None
        if is_class_path(path) and str(path).partition(".")[0] not in _NOT_OF_OTHERS:
            yield "aggregator", str(path)
    training = arguments.get("training")
    loss = training.get("loss") if isinstance(training, Mapping) else None
    networks = [("network", arguments.get(name)) for name in ("network", "preset")]
    for variable, value in (*networks, ("loss", loss)):
        if isinstance(value, str | Mapping) and (choice := read_choice(value, variable)).is_path:
            yield variable, choice.name
    for choice in read_choices(arguments.get("hooks") or {}, "hooks"):
        if choice.name not in KINDS["hooks"].shipped:
            yield "hooks", choice.name
