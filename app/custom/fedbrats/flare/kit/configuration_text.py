"""What the text of a job's configurations may refer to, judged before FLARE resolves anything in it.

FLARE 2.9.0 resolves far more than a job needs: all environment variables (`{$HOME}`), folders of the machine
(`{WORKSPACE}`), Python's `str.format` with index, attribute and width (`{seed:>600000000}` takes 600 MB), and secrets
of the site (`${secret:...}`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fedbrats.errors import ConfigurationError
from fedbrats.jobs.build import CONFIGURATIONS, NO_VARIABLES, SIGNING_FILES

REFERENCE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
SIGNS = re.compile(r"[{}$@]")
MOST_BYTES = 64 * 1024  # of a configuration; the longest of the shipped jobs has 5 KB
MOST_REFERENCES = 500  # in a configuration: a variable may hold references, and be referred to


def check_configurations(config_dir: Path) -> None:
    """Judge the `config` folder of an application: the two configurations, and nothing else.

    FLARE's `environment.json` would tell its persistor where to read and to write.

    Raises: ConfigurationError that names the file and what in it is refused.
    """
    if not config_dir.is_dir():
        raise ConfigurationError("the job has no folder config")
    known = (*CONFIGURATIONS, *SIGNING_FILES)
    if more := sorted(path.name for path in config_dir.iterdir() if path.name not in known):
        expected = " and ".join(CONFIGURATIONS)
        raise ConfigurationError(f"a job's config folder holds {expected}, but this one has also {more!r:.200}")
    for name in CONFIGURATIONS:
        path = config_dir / name
        if path.exists():
            check_text(_read(path), name)


def check_text(text: str, source: str) -> None:
    """Refuse every reference but `"{name}"`, the whole of a text, to a variable at the top of this very file.

    A variable that is referred to by a variable holds no reference itself, so that nothing can grow without end.

    Raises: ConfigurationError that names `source`.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{source} is not JSON that can be read") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{source} must be a JSON object")
    variables = {name: value for name, value in document.items() if name not in NO_VARIABLES}
    count = 0
    for word, is_key in _texts(document):
        if not SIGNS.search(word):
            continue
        reference = REFERENCE.fullmatch(word)
        if is_key or reference is None or reference[1] not in variables:
            raise ConfigurationError(
                f"{source}: {word!r:.60} is refused; a text may refer to a variable at the top of this file, as "
                f'"{{num_rounds}}", and to nothing else'
            )
        count += 1
    if count > MOST_REFERENCES:
        raise ConfigurationError(f"{source} refers to variables {count} times, of at most {MOST_REFERENCES}")
    holders = {name for name, value in variables.items() if next(_references(value), None)}
    for name in sorted(holders):
        if inner := sorted(holders.intersection(_references(variables[name]))):
            raise ConfigurationError(f"{source}: the variable {name} refers to {inner[0]}, which refers on")


def _read(path: Path) -> str:
    if path.stat().st_size > MOST_BYTES:
        raise ConfigurationError(f"{path.name} has more than {MOST_BYTES} bytes")
    try:
        return path.read_text(encoding="utf-8")
    except ValueError:
        raise ConfigurationError(f"{path.name} is no UTF-8 text") from None


def _texts(value: Any) -> Iterator[tuple[str, bool]]:
    """Every text in nested dictionaries and lists, and whether it is a key."""
    if isinstance(value, str):
        yield value, False
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key, True
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _references(value: Any) -> Iterator[str]:
    return (match[1] for word, is_key in _texts(value) if not is_key and (match := REFERENCE.fullmatch(word)))
