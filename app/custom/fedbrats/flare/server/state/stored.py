"""What a server must remember to go on after it was killed, outside the run folder.

    STATE_DIR/JOB/round-000007.npz     after round 7: models, optimiser, memory, and how many bytes of rows belong to it
    STATE_DIR/JOB/kept_rows.jsonl      the recorder's rows, only ever longer: a round costs what it adds

FLARE 2.9.0 keeps its persist hooks but never calls them, and a server that is killed loses its running jobs. What
belongs together stands in one file or is counted in it, so that a crash can never pair the model of one round with the
memory of another. Plain arrays and JSON, no pickle; a zip archive checks its own contents.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fedbrats.array_files import read_arrays, write_arrays
from fedbrats.errors import DataError

KEPT_ROUNDS = 2
ROWS_COPY = "kept_rows.jsonl"  # not the name of a recorder's own file, which is looked for by its name
Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Model:
    """The weights of a global model and what is said of it."""

    weights: Weights
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ServerState:
    """The server after a finished round.

    models: `global`, and, once there are, `best` (with its `score`) and `good`, which a worse model is rolled back to
        (with the sites' `scores` and the round in which it was sent).
    optimiser: the state of the server's own optimiser, arrays by `parameter/name`; empty where it has none.
    memory: what the aggregator remembers: arrays, and what JSON holds.
    seconds, missed, declared: by site, how long its last rounds took, how many rounds in a row were closed without its
        answer, and how many cases it last declared.
    rows: the recorder's file as far as this round; read, never written from here.
    submitter: whose job it was, to whom alone its models may go.
    """

    round_number: int
    models: dict[str, Model]
    optimiser: dict[str, np.ndarray] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    missed: dict[str, int] = field(default_factory=dict)
    declared: dict[str, int] = field(default_factory=dict)
    rows: str = ""
    submitter: str | None = None

    def read_rows(self) -> list[dict[str, Any]]:
        """The rows up to this round."""
        return [json.loads(line) for line in self.rows.splitlines()]


def save_state(folder: Path, state: ServerState, rows: Path) -> Path:
    """Write `folder/round-N.npz` atomically and remove what is older than the last two; returns the file's path.

    rows: the recorder's file, of which what is new is appended to the folder's own copy.
    Raises: OSError where it cannot be written; the files of earlier rounds stay.
    """
    document = {
        "round_number": state.round_number,
        "about": {kind: model.about for kind, model in state.models.items()},
        "memory": {name: _plain(value) for name, value in state.memory.items() if not _is_array(value)},
        "seconds": state.seconds,
        "missed": state.missed,
        "declared": state.declared,
        "submitter": state.submitter,
        "rows_bytes": _keep_rows(folder, rows),
    }
    arrays = {f"{kind}/{name}": value for kind, model in state.models.items() for name, value in model.weights.items()}
    arrays |= {f"optimiser/{name}": value for name, value in state.optimiser.items()}
    arrays |= {f"memory/{name}": value for name, value in state.memory.items() if _is_array(value)}
    arrays["document"] = np.frombuffer(json.dumps(document, allow_nan=False).encode("utf-8"), dtype=np.uint8)
    path = folder / f"round-{state.round_number:06d}.npz"
    write_arrays(path, arrays)
    for old in _files(folder)[KEPT_ROUNDS:]:
        old.unlink(missing_ok=True)
    return path


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def _plain(value: Any) -> Any:
    """A number of numpy as Python's, which JSON keeps bit for bit."""
    return value.item() if isinstance(value, np.generic) else value


def load_state(folder: Path) -> tuple[ServerState | None, list[str]]:
    """(the newest state that can be read, None where there is none; a sentence for each newer one that cannot).

    Raises: DataError where there are states and none can be read.
    """
    broken: list[str] = []
    for path in _files(folder):
        try:
            return _read(path), broken
        except DataError as error:
            broken.append(str(error))
    if broken:
        raise DataError(f"no state of the job in {folder} can be read: {'; '.join(broken)}; restore the folder")
    return None, broken


def _keep_rows(folder: Path, source: Path) -> int:
    """Append to the copy the whole lines that `source` has beyond it; returns the length of the copy in bytes.

    A copy that a full disk cut short is still the beginning of `source`, and is taken up where it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as rows, (folder / ROWS_COPY).open("ab") as copy:
        kept = copy.tell()
        if kept > rows.seek(0, os.SEEK_END):
            raise OSError(f"{copy.name} is longer than {source}, of which it should be a copy; move it away")
        rows.seek(kept)
        fresh = rows.read()
        fresh = fresh[: fresh.rfind(b"\n") + 1]
        copy.write(fresh)
        copy.flush()
        os.fsync(copy.fileno())
    return kept + len(fresh)


def _read_rows(folder: Path, length: int) -> str:
    """The first `length` bytes of the copy. Raises: OSError, ValueError where they are not there."""
    content = (folder / ROWS_COPY).read_bytes()[:length]
    if len(content) < length:
        raise ValueError(f"{ROWS_COPY} beside it has {len(content)} of {length} bytes")
    return content.decode("utf-8")


def _read(path: Path) -> ServerState:
    """Raises: DataError for a file, or rows beside it, that cannot be read."""
    try:
        return _state_of(read_arrays(path), path.parent)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _state_of(arrays: dict[str, np.ndarray], folder: Path) -> ServerState:
    document: Mapping[str, Any] = json.loads(arrays.pop("document").tobytes())
    parts: dict[str, Weights] = {}
    for name, value in arrays.items():
        kind, _, rest = name.partition("/")
        parts.setdefault(kind, {})[rest] = value
    return ServerState(
        round_number=int(document["round_number"]),
        models={kind: Model(parts.get(kind, {}), about) for kind, about in document["about"].items()},
        optimiser=parts.get("optimiser", {}),
        memory={**document["memory"], **parts.get("memory", {})},
        seconds=document["seconds"],
        missed=document.get("missed", {}),  # a state of an earlier version has none
        declared=document["declared"],
        submitter=document.get("submitter"),
        rows=_read_rows(folder, int(document["rows_bytes"])),
    )


def _files(folder: Path) -> list[Path]:
    """The states of a job, newest first."""
    return sorted(folder.glob("round-*.npz"), reverse=True)
