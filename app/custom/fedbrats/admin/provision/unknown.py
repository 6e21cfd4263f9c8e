"""Names in a project.yml that nothing reads, by line: FLARE leaves them out, or fails without a sentence."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from fedbrats.errors import ConfigurationError
from fedbrats.settings import show, suggest
from fedbrats.site.site_file import MLFLOW, REGISTER

FACTS = "fedbrats"  # a participant's property: what belongs into its local/fedbrats.json
STORAGE = "storage_dir"
SERVER_FACTS = (MLFLOW, STORAGE)
Said = tuple[int, str]


def unknown_names(root: Any) -> Iterator[Said]:
    """What a participant says that nobody reads, and arguments that a builder does not have; root: a composed YAML."""
    for entry in _items(root, "participants"):
        yield from _unknown_of_participant(entry)
    for entry in _items(root, "builders"):
        yield from _unknown_of_builder(entry)


def check_server_facts(facts: Any, name: str) -> Mapping[str, Any]:
    """What project.yml says of the server under `fedbrats:`; a slip of the pen must not leave its jobs in /tmp.

    Raises: ConfigurationError for an entry that nobody reads, and a storage whose place depends on a start.
    """
    facts = facts or {}
    unknown = sorted(map(str, set(facts) - set(SERVER_FACTS))) if isinstance(facts, Mapping) else [f"{facts!r:.100}"]
    if unknown:
        raise ConfigurationError(
            f"participant {name}: {FACTS} has unknown entries {', '.join(unknown)}; known are {', '.join(SERVER_FACTS)}"
        )
    storage = facts.get(STORAGE)
    if storage is not None and not Path(str(storage)).is_absolute():
        raise ConfigurationError(f"the server's {STORAGE} must be an absolute path, not {storage!r}")
    return facts


def _unknown_of_participant(entry: yaml.MappingNode) -> Iterator[Said]:
    lines = _lines(entry)
    kind, name = (_text(entry, key) for key in ("type", "name"))
    known = known_properties(kind)
    for key, line in lines.items():
        if key not in known:
            yield line, f"participant {name} has an unknown entry {show(key)}; {_meant(key, known)}"


def known_properties(kind: str) -> set[str]:
    """What a participant of this type may have: FLARE's properties and ours."""
    from nvflare.lighter.constants import PropKey

    flare = {value for name, value in vars(PropKey).items() if name.isupper() and not value.startswith("__")}
    ours = {"client": {FACTS, REGISTER}, "server": {FACTS}}
    return {*flare, *ours.get(kind, set())}


def _meant(key: str, known: set[str]) -> str:
    """The closest name; where none is close, those that our own project.yml has, as FLARE has forty more."""
    words = suggest(key, known)
    usual = {"name", "type", "org", "role", "fed_learn_port", "admin_port", FACTS, REGISTER} & known
    return words if words.startswith("did you mean") else f"usual are: {', '.join(sorted(usual))}"


def _unknown_of_builder(entry: yaml.MappingNode) -> Iterator[Said]:
    path = _text(entry, "path")
    try:
        known = _arguments_of(path)
    except Exception as error:  # whatever a module raises that is loaded by a name from a file
        yield entry.start_mark.line + 1, f"there is no builder {show(path)}: {error!r:.200}"
        return
    arguments = next((value for key, value in entry.value if key.value == "args"), None)
    if isinstance(arguments, yaml.SequenceNode):
        yield arguments.start_mark.line + 1, f"the builder {path} has a list as args, expected NAME: VALUE"
    if not isinstance(arguments, yaml.MappingNode) or known is None:
        return
    for key, line in _lines(arguments).items():
        if key not in known:
            yield line, f"the builder {path} has no argument {show(key)}; {suggest(key, known)}"


def _arguments_of(path: str) -> set[str] | None:
    """The names of a builder's arguments; None where it takes any. Raises: anything where there is no such builder."""
    module, _, name = path.rpartition(".")
    parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    if any(each.kind == each.VAR_KEYWORD for each in parameters.values()):
        return None
    return set(parameters)


def size_of(node: yaml.Node | None, sizes: dict[int, float] | None = None) -> float:
    """How many entries a composed YAML has with its aliases written out; infinite where one is a part of itself.

    Ten lines of aliases are a file that no memory holds as soon as a sentence shows one of them.
    """
    sizes = {} if sizes is None else sizes
    if id(node) not in sizes:
        sizes[id(node)] = math.inf
        parts = node.value if isinstance(node, yaml.SequenceNode) else ()
        parts = chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else parts
        sizes[id(node)] = 1 + sum(size_of(each, sizes) for each in parts)
    return sizes[id(node)]


def _items(root: Any, section: str) -> list[yaml.MappingNode]:
    values = [value for key, value in root.value if key.value == section]
    sequence = values[-1].value if values and isinstance(values[-1], yaml.SequenceNode) else []
    return [item for item in sequence if isinstance(item, yaml.MappingNode)]


def _lines(entry: yaml.MappingNode) -> dict[str, int]:
    """The line of each key; a merge (<<) is no key."""
    return {str(key.value): key.start_mark.line + 1 for key, _ in entry.value if key.tag != "tag:yaml.org,2002:merge"}


def _text(entry: yaml.MappingNode, name: str) -> str:
    """A value that is a text or a number; empty where it is neither, or not there."""
    values = [value for key, value in entry.value if key.value == name and isinstance(value, yaml.ScalarNode)]
    return str(values[0].value) if values else ""
