"""A site's personal weights on the site's own disk: they survive rounds, restarts and the end of the job."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fedbrats.atomic import write_bytes_atomic
from fedbrats.errors import DataError

PERSONAL_FILE = "personal.npz"


def save_personal(folder: Path, weights: Mapping[str, np.ndarray]) -> None:
    """Write `folder/personal.npz` atomically."""
    save_weights(folder / PERSONAL_FILE, weights)


def load_personal(folder: Path) -> dict[str, np.ndarray] | None:
    """Read the personal weights of a job, or None where there are none yet. Raises: as `load_weights`."""
    return load_weights(folder / PERSONAL_FILE)


def save_weights(path: Path, weights: Mapping[str, np.ndarray]) -> None:
    """Write weights atomically; plain arrays, no pickle."""
    write_bytes_atomic(path, lambda stream: np.savez(stream, allow_pickle=False, **weights))


def load_weights(path: Path) -> dict[str, np.ndarray] | None:
    """Read stored weights, or None where there are none.

    Raises: DataError for a file that cannot be read; it is never taken for an absent one.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"the personal weights in {path} cannot be read ({error}); restore the file, or move it away to start this "
            f"site's personal part from the job's initial weights"
        ) from error


def stored_names(folder: Path) -> frozenset[str]:
    """The names of the personal weights of a job; none where there are none yet. Raises: as `load_personal`."""
    return frozenset(load_personal(folder) or ())
