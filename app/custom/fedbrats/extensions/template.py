"""A package of one's own to begin with: an example, under another name."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from fedbrats.atomic import new_folder
from fedbrats.errors import ConfigurationError
from fedbrats.shipped import shipped_dir

NAME = re.compile(r"[a-z][a-z0-9_]{1,39}")
SUFFIXES = (".py", ".toml", ".json")


def write_package(kind: str, name: str, parent: Path) -> Path:
    """Write `parent/name` from the example of a kind (method, network, loss or hook) and return it.

    Raises: ConfigurationError for a name that no package can have, or a folder that is there.
    """
    if not NAME.fullmatch(name) or keyword.iskeyword(name) or name in ("fedbrats", "tests"):
        raise ConfigurationError(f"{name!r:.60} is no name for a package; take lower letters, digits and _")
    target = parent / name
    if target.exists():
        raise ConfigurationError(f"{target} is there already; take another name, or remove it")
    example = shipped_dir() / "examples" / kind
    words = {f"my_{kind}": name, f"My{kind.capitalize()}": "".join(part.capitalize() for part in name.split("_"))}
    parent.mkdir(parents=True, exist_ok=True)
    with new_folder(target) as building:
        for path in sorted(example.rglob("*")):
            if path.is_file() and path.suffix in SUFFIXES:
                relative = _renamed(path.relative_to(example).as_posix(), words)
                (building / relative).parent.mkdir(parents=True, exist_ok=True)
                (building / relative).write_text(_renamed(path.read_text(encoding="utf-8"), words), encoding="utf-8")
    return target


def _renamed(text: str, words: dict[str, str]) -> str:
    for old, new in words.items():
        text = text.replace(old, new)
    return text
