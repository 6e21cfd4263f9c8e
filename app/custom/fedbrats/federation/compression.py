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
LARGEST_REST = 0.1  # of the largest number of an update; rounding leaves 1/254 of the one before
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
    if kind == FLOAT16:
        flat = np.concatenate([np.zeros(0, np.float32), *(arrays[name].ravel() for name in names)])
        with np.errstate(over="ignore"):
            return Packed(names, flat.astype(np.float16).view(np.uint8), np.zeros(0, np.float32))
    blocks = np.concatenate([np.zeros((0, BLOCK), np.float32), *(_in_blocks(arrays[name]) for name in names)])
    scales = np.abs(blocks).max(axis=1, initial=0.0) / np.float32(127.0)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        rounded = np.rint(blocks / np.where(scales > 0, scales, 1)[:, None])
    # A block that is not finite has a scale that is not, which says so on the other side, whatever its codes.
    codes = np.clip(np.nan_to_num(rounded), -127, 127).astype(np.int8)
    sizes = [arrays[name].size for name in names]
    packed = b"".join(own.tobytes()[:size] for own, size in zip(_by_tensor(codes, sizes), sizes, strict=True))
    return Packed(names, np.frombuffer(zlib.compress(packed, DEFLATE_LEVEL), np.uint8), scales)


def unpack(packed: Packed, shapes: Shapes, kind: str) -> dict[str, np.ndarray]:
    """The arrays again, in `shapes`, of which packed may hold some.

    Nothing is made that is larger than the shapes say, whatever a sender has packed.
    Raises: UpdateError for names without a shape, and for codes or scales of another length than the shapes ask for.
    """
    unknown = sorted(set(packed.names) - set(shapes))
    if unknown or len(set(packed.names)) != len(packed.names):
        raise UpdateError(f"a packed update names {unknown[:1] or 'a parameter twice'}, which is not expected")
    sizes = [int(np.prod(shapes[name], dtype=np.int64)) for name in packed.names]
    parts = _halves(packed, sizes) if kind == FLOAT16 else _scaled(packed, sizes)
    return {name: part.reshape(shapes[name]) for name, part in zip(packed.names, parts, strict=True)}


class ErrorFeedback:
    """Packs the updates of one site round by round, and adds to each what rounding took away from the one before.

    A round that is asked again is answered the same again. What is left of an update that was far longer than the
    present one, and was clipped or refused then, is dropped.
    """

    def __init__(self, kind: str):
        self._kind = check_kind(kind)
        self._round: int | None = None
        self._before: dict[str, np.ndarray] = {}  # what was left before this round, and after it
        self._after: dict[str, np.ndarray] = {}

    def pack(self, update: Update, round_number: int | None) -> Packed:
        """Pack the update of a round. A name that was not in the update before has nothing left over."""
        if round_number is None or round_number != self._round:
            self._round, self._before = round_number, self._after
        whole = {name: _with_rest(value, self._before.get(name)) for name, value in update.items()}
        packed = pack(whole, self._kind)
        with np.errstate(invalid="ignore", over="ignore"):
            sent = unpack(packed, {name: value.shape for name, value in whole.items()}, self._kind)
            rest = {name: whole[name] - sent[name] for name in packed.names}
        self._after = {name: value for name, value in rest.items() if np.isfinite(value).all()}
        return packed


def _with_rest(value: np.ndarray, rest: np.ndarray | None) -> np.ndarray:
    """The value and what was left over; the value alone where that is out of proportion."""
    if rest is None or not np.abs(rest).max(initial=0.0) <= LARGEST_REST * np.abs(value).max(initial=0.0):
        return value
    return value + rest


def _in_blocks(array: np.ndarray) -> np.ndarray:
    """One tensor as blocks (n, BLOCK), zeros at the end: no tensor shares a scale with another."""
    blocks = np.zeros((-(-array.size // BLOCK), BLOCK), np.float32)
    blocks.ravel()[: array.size] = array.ravel()
    return blocks


def _by_tensor(blocks: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """The blocks of each tensor of these sizes."""
    counts = [-(-size // BLOCK) for size in sizes]
    return np.split(blocks, np.cumsum(counts)[:-1]) if counts else []


def _halves(packed: Packed, sizes: Sequence[int]) -> list[np.ndarray]:
    _require_length("codes", packed.codes.nbytes, 2 * sum(sizes))
    flat = packed.codes.view(np.float16).astype(np.float32)
    return np.split(flat, np.cumsum(sizes)[:-1]) if sizes else []


def _scaled(packed: Packed, sizes: Sequence[int]) -> list[np.ndarray]:
    count = sum(sizes)
    _require_length("scales", packed.scales.size, sum(-(-size // BLOCK) for size in sizes))
    inflate = zlib.decompressobj()
    try:
        codes = np.frombuffer(inflate.decompress(packed.codes.tobytes(), count + 1), np.int8)
    except zlib.error as error:
        raise UpdateError(f"a packed update is damaged: {error}") from None
    if not inflate.eof:
        raise UpdateError("a packed update does not end where it should")
    _require_length("codes", codes.size, count)
    parts = []
    tensors = np.split(codes, np.cumsum(sizes)[:-1]) if sizes else []
    with np.errstate(invalid="ignore", over="ignore"):
        for own, scales in zip(tensors, _by_tensor(packed.scales, sizes), strict=True):
            parts.append((_in_blocks(own) * scales[:, None]).ravel()[: own.size])
    return parts


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
