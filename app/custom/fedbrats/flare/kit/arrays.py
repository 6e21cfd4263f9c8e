"""Arrays travel inside their message, in every process of a kit.

FLARE 2.9.0 sends references, and the receiver fetches the arrays one after the other from wherever a reference points:
of a size that nobody knows before, from a sender that may be gone, in a thread that ends the job's process when it
fails. An array inside the message is announced with it, comes with it or not at all, and says its own shape before it
is allocated.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from nvflare.app_common.decomposers.numpy_decomposers import NumpyArrayDecomposer
from nvflare.fuel.utils.fobs.datum import Datum, DatumManager
from nvflare.fuel.utils.fobs.decomposers.via_downloader import ViaDownloaderDecomposer

from fedbrats.errors import UpdateError

_INSIDE = "native"  # FLARE's word, in its context of an encoding


def keep_inside_messages() -> None:
    """Have FLARE's encoders of this process put arrays into messages, and take none that only refer to one."""
    if getattr(ViaDownloaderDecomposer.decompose, "inside", False):
        return
    decompose = ViaDownloaderDecomposer.decompose

    def decompose_inside(self: Any, target: Any, manager: DatumManager | None = None) -> Any:
        if manager is not None:
            manager.fobs_ctx[_INSIDE] = True
        return decompose(self, target, manager)

    decompose_inside.inside = True  # type: ignore[attr-defined]
    ViaDownloaderDecomposer.decompose = decompose_inside
    ViaDownloaderDecomposer.process_datum = _refuse_reference
    NumpyArrayDecomposer.native_recompose = _read_array


def _refuse_reference(self: Any, datum: Datum, manager: DatumManager) -> None:
    raise UpdateError("an array must stand in its message, and this one is a reference to somewhere else")


def _read_array(self: Any, data: bytes, manager: DatumManager | None = None) -> np.ndarray:
    return read_array(data)


def read_array(data: bytes) -> np.ndarray:
    """An array of numbers from the bytes of a `.npy` file, whose announced size is compared with what is there.

    Raises: UpdateError for anything else.
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran_order, dtype = read_header(stream)
        count = 1
        for length in shape:
            count *= int(length)
        body = memoryview(data)[stream.tell() :]
        if dtype.kind not in "biuf" or count * dtype.itemsize != len(body):
            raise UpdateError(f"an array announces {count} numbers of type {dtype!s:.20} in {len(body)} bytes")
        array = np.frombuffer(body, dtype=dtype, count=count).copy()
        return array.reshape(shape, order="F" if fortran_order else "C")
    except (ValueError, KeyError, TypeError, OverflowError, SyntaxError) as error:
        raise UpdateError(f"an array cannot be read: {type(error).__name__}") from None
