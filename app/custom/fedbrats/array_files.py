"""Named arrays in a file: written whole or not at all, and read so that every damaged file gives the same error.

zipfile, zlib, lzma, numpy and torch raise about a dozen kinds of errors between them for a file with a flipped bit
(`NotImplementedError` for a compression that nobody used, `RuntimeError` for a flag that says "encrypted"). Nobody but
this file has to know them.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import numpy as np

from fedbrats.atomic import write_bytes_atomic
from fedbrats.errors import DamagedFileError

if TYPE_CHECKING:
    import torch

_ARRAY_SUFFIX = ".npy"


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays atomically as an npz file, without pickle.

    Raises:
        OSError: The file system cannot take it; what `path` held before stays.
    """
    write_bytes_atomic(path, lambda stream: np.savez(stream, allow_pickle=False, **arrays))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read every array of an npz file that `write_arrays` wrote.

    The checksum of every array is verified, also where a damaged header makes the array shorter than what is stored,
    which `np.load` does not notice.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFileError: The file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(names) != _stored_count(path):
                raise ValueError("its table of contents is damaged")
            return {name.removesuffix(_ARRAY_SUFFIX): _read_array(archive, name) for name in names}
    except FileNotFoundError:
        raise
    except Exception as error:
        raise DamagedFileError(f"{path} cannot be read: {_first_line(error)}") from error


def map_array(path: Path) -> np.ndarray:
    """Map an npy file into memory, to be read only; its numbers are not verified.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFileError: Its header cannot be read.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise DamagedFileError(f"{path} cannot be read: {_first_line(error)}") from error


def read_checkpoint(path: Path, device: str | torch.device = "cpu") -> Any:
    """Read what `torch.save` wrote: tensors in plain containers; a file that holds other objects is refused.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFileError: The file cannot be read, or holds more than tensors and plain containers.
    """
    import torch

    try:
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise
    except UnpicklingError as error:  # whose own text advises to load it unsafely
        raise DamagedFileError(
            f"{path} cannot be read: it is damaged, or it holds Python objects besides tensors, which are never loaded"
        ) from error
    except Exception as error:
        raise DamagedFileError(f"{path} cannot be read: {_first_line(error)}") from error


def read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read (arrays, metadata) of a safetensors file.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedFileError: The file cannot be read.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, framework="numpy") as stored:
            return {key: stored.get_tensor(key) for key in stored.keys()}, stored.metadata() or {}  # noqa: SIM118 (not a dictionary)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise DamagedFileError(f"{path} cannot be read: {_first_line(error)}") from error


def _stored_count(path: Path) -> int:
    """How many members an archive without a comment says that it has, in its last 22 bytes.

    zipfile does not compare: a table whose lengths are damaged could lose a member and say nothing.
    """
    with path.open("rb") as stream:
        stream.seek(-22, os.SEEK_END)
        return struct.unpack("<4s4H2LH", stream.read(22))[4]


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as member:
        array = np.lib.format.read_array(member, allow_pickle=False)
        if member.read(1):  # zipfile compares the checksum when it meets the end
            raise ValueError(f"{name} holds more than its header says")
        return array


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
