"""Fewer bytes for the same update: 16 or 8 bits a number, and what rounding takes away is sent with the next round.

`int8` scales each block of numbers to -127 ... 127 by its largest and deflates the result: 8-bit codes of bell-shaped
numbers hold six to seven bits. Error feedback: Seide et al. 2014 (1-bit SGD), Karimireddy et al. 2019
(arXiv:1901.09847).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedbrats.errors import ConfigurationError, UpdateError
from fedbrats.federation.updates import Update

NONE, FLOAT16, INT8 = KINDS = ("none", "float16", "int8")
BLOCK = 1024  # numbers that share a scale: 4 bytes in 1024
DEFLATE_LEVEL = 1  # higher ones take many times as long for one or two percent
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Packed:
    """Named float32 arrays as bytes: names in order, codes (uint8, deflated for int8), one float32 scale a block."""

    names: tuple[str, ...]
    codes: np.ndarray
    scales: np.ndarray

    @property
    def nbytes(self) -> int:
        """What travels, but for the names."""
        return int(self.codes.nbytes + self.scales.nbytes)


def check_kind(kind: str) -> str:
    """The kind itself. Raises: ConfigurationError for one that there is not."""
    if kind not in KINDS:
        raise ConfigurationError(f"compression is one of {', '.join(KINDS)}, not {kind!r}")
    return kind


def pack(arrays: Update, kind: str) -> Packed:
    """Round every array, to the nearest. Raises: UpdateError for an array that is not float32."""
    names = tuple(sorted(arrays))
    for name in names:
        if arrays[name].dtype != np.float32:
            raise UpdateError(f"'{name}' holds {arrays[name].dtype}; only float32 can be compressed")
    flat = np.concatenate([arrays[name].ravel() for name in names]) if names else np.zeros(0, np.float32)
    if kind == FLOAT16:
        with np.errstate(over="ignore"):
            halves = flat.astype(np.float16)
        return Packed(names, halves.view(np.uint8), np.zeros(0, np.float32))
    blocks = np.zeros((-(-flat.size // BLOCK), BLOCK), np.float32)
    blocks.ravel()[: flat.size] = flat
    scales = np.abs(blocks).max(axis=1, initial=0.0) / np.float32(127.0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        rounded = np.rint(blocks / np.where(scales > 0, scales, 1)[:, None])
    # A block that is not finite has a scale that is not, which says so on the other side, whatever its codes.
    codes = np.nan_to_num(rounded, nan=0.0, posinf=0.0, neginf=0.0).astype(np.int8).ravel()[: flat.size]
    deflated = zlib.compress(codes.tobytes(), DEFLATE_LEVEL)
    return Packed(names, np.frombuffer(deflated, np.uint8), scales)


def unpack(packed: Packed, shapes: Shapes, kind: str) -> dict[str, np.ndarray]:
    """The arrays again, in `shapes`, of which packed may hold some.

    Nothing is made that is larger than the shapes say, whatever a sender has packed.
    Raises: UpdateError for names without a shape, and for codes or scales of another length than the shapes ask for.
    """
    unknown = sorted(set(packed.names) - set(shapes))
    if unknown or len(set(packed.names)) != len(packed.names):
        raise UpdateError(f"a packed update names {unknown[:1] or 'a parameter twice'}, which is not expected")
    sizes = [int(np.prod(shapes[name], dtype=np.int64)) for name in packed.names]
    flat = _halves(packed, sum(sizes)) if kind == FLOAT16 else _scaled(packed, sum(sizes))
    parts = np.split(flat, np.cumsum(sizes)[:-1]) if sizes else []
    return {name: part.reshape(shapes[name]) for name, part in zip(packed.names, parts, strict=True)}


class ErrorFeedback:
    """Packs the updates of one site round by round, and adds to each what rounding took away from the one before."""

    def __init__(self, kind: str):
        self._kind = check_kind(kind)
        self._left: dict[str, np.ndarray] = {}

    def pack(self, update: Update) -> Packed:
        """Pack an update. A name that was not in the update before has nothing left over."""
        whole = {name: value + self._left[name] if name in self._left else value for name, value in update.items()}
        packed = pack(whole, self._kind)
        with np.errstate(invalid="ignore", over="ignore"):
            sent = unpack(packed, {name: value.shape for name, value in whole.items()}, self._kind)
            left = {name: whole[name] - sent[name] for name in packed.names}
        self._left = {name: value for name, value in left.items() if np.isfinite(value).all()}
        return packed


def _halves(packed: Packed, count: int) -> np.ndarray:
    _require_length("codes", packed.codes.nbytes, 2 * count)
    return packed.codes.view(np.float16).astype(np.float32)


def _scaled(packed: Packed, count: int) -> np.ndarray:
    _require_length("scales", packed.scales.size, -(-count // BLOCK))
    inflate = zlib.decompressobj()
    try:
        codes = np.frombuffer(inflate.decompress(packed.codes.tobytes(), count + 1), np.int8)
    except zlib.error as error:
        raise UpdateError(f"a packed update is damaged: {error}") from None
    if not inflate.eof:
        raise UpdateError("a packed update does not end where it should")
    _require_length("codes", codes.size, count)
    blocks = np.zeros((packed.scales.size, BLOCK), np.float32)
    blocks.ravel()[:count] = codes
    with np.errstate(invalid="ignore", over="ignore"):
        return (blocks * packed.scales[:, None]).ravel()[:count]


def _require_length(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise UpdateError(f"a packed update has {found} {what} where {expected} are expected")


def unpack_parts(codes: object, scales: object, names: Sequence[object]) -> Packed:
    """A Packed from what arrived. Raises: UpdateError for anything but arrays and texts."""
    good = isinstance(codes, np.ndarray) and codes.dtype == np.uint8 and codes.ndim == 1
    good = good and isinstance(scales, np.ndarray) and scales.dtype == np.float32 and scales.ndim == 1
    if not good or not all(isinstance(name, str) for name in names):
        raise UpdateError("a packed update is no codes, scales and names")
    return Packed(tuple(map(str, names)), codes, scales)  # type: ignore[arg-type]
