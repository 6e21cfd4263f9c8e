"""A site's personal weights on the site's own disk: they survive rounds, restarts and the end of the job."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fedbrats.array_files import read_arrays, write_arrays
from fedbrats.errors import DamagedFileError, DataError

PERSONAL_FILE = "personal.npz"


def save_personal(folder: Path, weights: Mapping[str, np.ndarray]) -> None:
    """Write `folder/personal.npz` atomically."""
    write_arrays(folder / PERSONAL_FILE, weights)


def load_personal(folder: Path) -> dict[str, np.ndarray] | None:
    """Read the personal weights of a job, or None where there are none yet. Raises: as `load_weights`."""
    return load_weights(folder / PERSONAL_FILE)


def load_weights(path: Path) -> dict[str, np.ndarray] | None:
    """Read stored weights, or None where there are none.

    Raises: DataError for a file that cannot be read; it is never taken for an absent one.
    """
    try:
        return read_arrays(path)
    except FileNotFoundError:
        return None
    except DamagedFileError as error:
        raise DataError(
            f"the personal weights are damaged: {error}; restore the file, or move it away to start this site's "
            f"personal part from the job's initial weights"
        ) from error


def stored_names(folder: Path) -> frozenset[str]:
    """The names of the personal weights of a job; none where there are none yet. Raises: as `load_personal`."""
    return frozenset(load_personal(folder) or ())
