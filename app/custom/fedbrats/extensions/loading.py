"""The only place that imports a class because a name says so: one of this package, or one that this process allows."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterable
from functools import cache
from types import ModuleType
from typing import Any

from fedbrats.errors import ConfigurationError
from fedbrats.extensions.arguments import check_arguments
from fedbrats.extensions.choice import Choice
from fedbrats.extensions.kinds import KINDS
from fedbrats.extensions.packages import Package, find_package, registered
from fedbrats.settings import suggest

# Set by `fedbrats simulate` for FLARE's simulator, which has no kit; a kit's start script lets no such variable in.
SIMULATED_PACKAGES = "FEDBRATS_SIMULATED_PACKAGES"

_allowed: dict[str, dict[str, Package]] = {}  # variable -> class -> its package
_sound: set[str] = set()  # packages whose code was found to be the one that was allowed


def allow(packages: Iterable[Package]) -> None:
    """Let this process import the classes of these packages; the code itself is compared when one is first loaded."""
    for package in packages:
        for variable, paths in package.classes.items():
            _allowed.setdefault(variable, {}).update(dict.fromkeys(paths, package))


def allow_named(variable: str, path: str) -> Package:
    """Let this process import one class that the person at this machine has named.

    Raises: ConfigurationError where it is not one of an installed package.
    """
    package = find_package(path.partition(".")[0], {variable: [path]})
    allow([package])
    return package


def allow_registered(variable: str, path: str) -> None:
    """Let this process import a class that a file names, where an installed package makes it known itself.

    Does nothing else; `load_class` says what is missing.
    """
    if any((variable, path) == (known, each) for known, each, _ in registered()):
        allow_named(variable, path)


def load_class(variable: str, path: str) -> type[Any]:
    """The class that a job's variable names.

    Raises: ConfigurationError for one that is not allowed here, whose code is not the one that was allowed, that cannot
        be imported, or that is of another kind.
    """
    kind = KINDS[variable]
    if path not in kind.shipped:
        require_allowed(variable, path)
    module, _, name = path.rpartition(".")
    try:
        namespace = importlib.import_module(module)
        found = getattr(namespace, name, None)
    except Exception as error:  # somebody's own code: whatever its import raises
        raise ConfigurationError(f"{variable}: {path} cannot be imported: {error!r:.300}") from error
    base_module, _, base_name = kind.base.partition(":")
    base = getattr(importlib.import_module(base_module), base_name)
    if found is None:
        there = _classes_of(namespace, base)
        said = suggest(name, there) if there else f"nor any other subclass of {base_module}.{base_name}"
        raise ConfigurationError(f"{variable}: the module {module} has no class {name}; {said}")
    if not isinstance(found, type) or not issubclass(found, base):
        raise ConfigurationError(f"{variable}: {path} must be a subclass of {base_module}.{base_name}")
    return found


def _classes_of(module: ModuleType, base: type) -> list[str]:
    """The names of a module's classes of one kind that are of its own package."""
    package = module.__name__.partition(".")[0]
    return [
        name
        for name, found in vars(module).items()
        if isinstance(found, type) and issubclass(found, base) and found.__module__.partition(".")[0] == package
    ]


def build(variable: str, choice: Choice, **more: Any) -> Any:
    """An object of the class that a variable chooses, with its arguments.

    Args:
        more: arguments that the caller has, beside those of the choice.

    Raises: ConfigurationError as `load_class`, and where the arguments are not those of the class.
    """
    found = load_class(variable, choice.name)
    check_arguments(found, dict(choice.arguments), variable)
    try:
        return found(**choice.arguments, **more)
    except ConfigurationError:
        raise
    except Exception as error:  # somebody's own code
        raise ConfigurationError(f"{variable}: {choice.name} cannot be built: {error!r:.300}") from error


def require_allowed(variable: str, path: str) -> None:
    """Refuse a class of another package that this process may not import, or whose code has changed; imports nothing.

    Raises: ConfigurationError.
    """
    _take_simulated()
    package = _allowed.get(variable, {}).get(path)
    if package is None:
        raise ConfigurationError(
            f"{variable}: the class {path} is not one that may run here; a kit names the packages that may in "
            f"local/extensions.json, and on your own machine it must be installed and, under {KINDS[variable].group}, "
            f"among the entry points of its package"
        )
    require_sound(package)


def require_sound(package: Package) -> None:
    """Compare the code that is installed with what was allowed, before any of it is imported.

    Raises: ConfigurationError.
    """
    if package.line in _sound:
        return
    found = find_package(package.module)
    if (found.version, found.sha256) != (package.version, package.sha256):
        raise ConfigurationError(
            f"{package.module} {found.version} is installed here (sha256 {found.sha256[:12]}...), and "
            f"{package.version} with sha256 {package.sha256[:12]}... was allowed; install that one, or have it allowed "
            f"anew"
        )
    _sound.add(package.line)


@cache
def _take_simulated() -> None:
    if (text := os.environ.get(SIMULATED_PACKAGES)) is not None:
        allow(Package.read(each, SIMULATED_PACKAGES) for each in json.loads(text))
