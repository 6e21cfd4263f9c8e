"""The installed package that a class belongs to: its version, and the SHA-256 of its code."""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from fedbrats.errors import ConfigurationError
from fedbrats.extensions.choice import is_class_path
from fedbrats.extensions.kinds import KINDS
from fedbrats.settings import show

CODE = tuple(importlib.machinery.all_suffixes())  # such as .py, .so and .pyc
LINE = re.compile(r"(?P<module>[A-Za-z_]\w*)==(?P<version>[^\s]+) sha256:(?P<sha256>[0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True)
class Package:
    """A package by its importable name, its version and the SHA-256 of its code.

    Attributes:
        classes: what it may be asked for, by the job's variable.
    """

    module: str
    version: str
    sha256: str
    classes: Mapping[str, tuple[str, ...]]

    @property
    def line(self) -> str:
        """The one line by which a consortium names it."""
        return f"{self.module}=={self.version} sha256:{self.sha256}"

    def as_json(self) -> dict[str, Any]:
        """As a kit keeps it."""
        return {"package": self.line, "classes": {name: list(paths) for name, paths in self.classes.items()}}

    @classmethod
    def read(cls, document: Any, source: str) -> Package:
        """What a kit keeps. Raises: ConfigurationError that names `source`."""
        line = document.get("package") if isinstance(document, Mapping) else None
        found = LINE.fullmatch(line) if isinstance(line, str) else None
        classes = document.get("classes") if isinstance(document, Mapping) else None
        if found is None or not isinstance(classes, Mapping) or not classes.keys() <= KINDS.keys():
            raise ConfigurationError(f"{source} holds {show(document)}, expected a package, its hash and its classes")
        named = {name: tuple(paths) for name, paths in classes.items() if isinstance(paths, list)}
        for path in (path for paths in named.values() for path in paths):
            if not is_class_path(path) or path.partition(".")[0] != found["module"]:
                raise ConfigurationError(f"{source}: {show(path)} is no class of {found['module']}")
        return cls(found["module"], found["version"], found["sha256"], named)


def find_package(module: str, more: Mapping[str, Iterable[str]] | None = None) -> Package:
    """The installed package of an importable name, with the classes that its entry points name; imports nothing of it.

    Args:
        module: the name of the package as Python imports it.
        more: further classes of it, by the job's variable.

    Raises: ConfigurationError where no such package is installed.
    """
    folder = _place_of(module)
    classes = {name: set(paths) for name, paths in (more or {}).items()}
    for variable, path, top in registered():
        if top == module:
            classes.setdefault(variable, set()).add(path)
    return Package(
        module, _version_of(module), hash_code(folder), {name: tuple(sorted(each)) for name, each in classes.items()}
    )


def find_listed(line: str) -> Package:
    """The installed package that a line of a consortium names. Raises: ConfigurationError where it is another."""
    found = LINE.fullmatch(line.strip()) if isinstance(line, str) else None
    if found is None:
        raise ConfigurationError(
            f"extensions: {show(line)} is no line with version and hash, as `fedbrats job extension PACKAGE` prints it"
        )
    package = find_package(found["module"])
    if package.line != line.strip():
        raise ConfigurationError(f"extensions: {show(line)} is listed, and {package.line} is installed here")
    if not package.classes:
        raise ConfigurationError(f"extensions: {package.module} has no entry points of fedbrats; no job could name it")
    return package


def registered() -> list[tuple[str, str, str]]:
    """(variable, path of the class, importable package) of every entry point of an installed package."""
    found = []
    for kind in KINDS.values():
        for entry in metadata.entry_points(group=kind.group):
            module, _, name = entry.value.partition(":")
            found.append((kind.variable, f"{module.strip()}.{name.strip()}", module.strip().partition(".")[0]))
    return found


def find_entry(variable: str, name: str) -> str | None:
    """The class that an installed package makes known under a name; None where there is none.

    Raises: ConfigurationError where two packages do.
    """
    values = {entry.value for entry in metadata.entry_points(group=KINDS[variable].group, name=name)}
    if len(values) > 1:
        raise ConfigurationError(f"{variable}: several packages know {name}: {', '.join(sorted(values))}; name a class")
    return next((value.replace(":", ".") for value in values), None)


def hash_code(place: Path) -> str:
    """SHA-256 of a module, or of every file in a package's folder that Python can import, with their names.

    Compiled modules count. What Python keeps in `__pycache__` of the sources does not: it differs between machines.
    """
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if _is_code(path, place))
    digest = hashlib.sha256()
    for path in files:
        name = path.name if place.is_file() else path.relative_to(place).as_posix()
        content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _is_code(path: Path, folder: Path) -> bool:
    return path.name.endswith(CODE) and "__pycache__" not in path.relative_to(folder).parts and path.is_file()


def _place_of(module: str) -> Path:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise ConfigurationError(
            f"there is no package {module} in this Python; install it beside fedbrats, with `pip install`"
        )
    return Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)


def _version_of(module: str) -> str:
    """The version of the distribution that an importable package is of. Raises: ConfigurationError."""
    for kind in KINDS.values():
        for entry in metadata.entry_points(group=kind.group):
            if entry.module.partition(".")[0] == module and entry.dist:
                return entry.dist.version
    try:
        return metadata.version(module)
    except metadata.PackageNotFoundError:
        for name in metadata.packages_distributions().get(module, ()):
            return metadata.version(name)
    raise ConfigurationError(
        f"{module} is not an installed package, so that other processes would not find it; install it with "
        f"`pip install`, or `pip install --editable` while you write it"
    )
