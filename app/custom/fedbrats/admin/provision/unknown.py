"""Names in a project.yml that nothing reads, by line: FLARE leaves them out, or fails without a sentence."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Mapping
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
    arguments = next((value for key, value in entry.value if key.value == "args"), None)
    if not isinstance(arguments, yaml.MappingNode) or (known := _arguments_of(path)) is None:
        return
    for key, line in _lines(arguments).items():
        if key not in known:
            yield line, f"the builder {path} has no argument {show(key)}; {suggest(key, known)}"


def _arguments_of(path: str) -> set[str] | None:
    """The names of a builder's arguments; None where it takes any, or there is no such builder (a build says so)."""
    module, _, name = path.rpartition(".")
    try:
        parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    except (ImportError, AttributeError, TypeError, ValueError):
        return None
    if any(each.kind == each.VAR_KEYWORD for each in parameters.values()):
        return None
    return set(parameters)


def _items(root: Any, section: str) -> list[yaml.MappingNode]:
    values = [value for key, value in root.value if key.value == section]
    sequence = values[-1].value if values and isinstance(values[-1], yaml.SequenceNode) else []
    return [item for item in sequence if isinstance(item, yaml.MappingNode)]


def _lines(entry: yaml.MappingNode) -> dict[str, int]:
    """The line of each key; a merge (<<) is no key."""
    return {str(key.value): key.start_mark.line + 1 for key, _ in entry.value if key.tag != "tag:yaml.org,2002:merge"}


def _text(entry: yaml.MappingNode, name: str) -> str:
    return next((str(value.value) for key, value in entry.value if key.value == name), "")
