"""Read the bytes of a NIfTI file, inflated and held against their own checksum, and say what a file is that is none.

nibabel stops reading a compressed file at its last voxel, before the checksum: most single flipped bits then give other
voxels without an error. Here every file is inflated to its end.
"""

from __future__ import annotations

import logging
import math
import stat
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fedbrats.data.cases.channels import split_channel
from fedbrats.errors import DataError

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

MOST_VOXELS = 2**28  # a head at 0.4 mm has 10^8
MOST_BYTES = 2**30  # of the voxels, inflated; reading takes twice as much memory
_MOST_STORED = MOST_BYTES + 2**20
_GZIP = b"\x1f\x8b"
_PIECE, _MOST_EMPTY = 2**16, 1000  # bytes; members of a gzip file
_GZIP_WINDOW = 31  # zlib's word for: with a gzip header, and compare the checksum
_HEADER_BYTES = 540  # of NIfTI-2; NIfTI-1 has 348
_MOST_OFFSET = 2**24  # of the first voxel; extensions of a header lie before it
_ORDERS: tuple[Literal["little"], Literal["big"]] = ("little", "big")
_OF_HEADERS = (ValueError, TypeError, KeyError, OverflowError, EOFError, OSError, ArithmeticError, struct.error)
_OTHERS = (  # offset, what is there, what such a file is
    (128, b"DICM", "a DICOM file; convert the series to NIfTI first"),
    (0, b"NRRD", "an NRRD file; convert it to NIfTI first"),
    (0, b"PK\x03\x04", "a zip archive; unpack it first"),
    (0, b"\x89HDF", "an HDF5 or MINC file; convert it to NIfTI first"),
    (0, b"\x93NUMPY", "an array of NumPy"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself"),
    (0, b"/annex/objects", "a pointer of git-annex; fetch the file itself"),
    (0, b"<", "a web page or XML, perhaps a failed download"),
)


def read_nifti(path: Path) -> Nifti1Image:
    """The whole file in memory as a single-file NIfTI-1 or NIfTI-2 image, whatever its name's ending says.

    Its header is believed in nothing: no more is inflated than its own voxels take. Header and voxels are not judged.
    `FILE.nii.gz[2]` is the third channel of a four-dimensional file, as an image of its own.

    Raises: DataError saying what the file is or what is wrong with it.
    """
    content = read_content(path)
    try:
        return _KINDS[content[:4]]().from_bytes(content)
    except MemoryError:
        raise
    except Exception as error:
        raise _told_by_nibabel(path, error) from None


def read_content(path: Path) -> bytes:
    """The bytes of a NIfTI file, inflated; of a channel, those of the file that would hold it alone.

    Raises: DataError, as `read_nifti`.
    """
    file, channel = split_channel(path)
    content = _read_file(file)
    return content if channel is None else _cut_channel(file, content, channel)


def _read_file(path: Path) -> bytes:
    """The bytes of a file, inflated, as many as its header says."""
    try:
        content = _read_stored(path)
    except FileNotFoundError:
        raise DataError(f"{path} is not there") from None
    except OSError as error:
        raise _unreadable(path, f"the system says {error.strerror}") from None
    if content[:2] == _GZIP:
        content = _inflate(path, content)
    size = _measure(path, content)
    if len(content) < size.expected:
        raise _unreadable(path, f"it has {len(content)} bytes, and {size.expected} by its header: truncated or damaged")
    if len(content) - size.expected >= size.layer:
        raise _unreadable(path, "it has more voxels than its header says: the header is damaged")
    return content


def _cut_channel(path: Path, content: bytes, channel: int) -> bytes:
    """One channel of a four-dimensional file: the same header but for its shape, and its bytes of the voxels."""
    header_class = _KINDS[content[:4]]().header_class
    header = header_class(content[: header_class.sizeof_hdr], check=False)
    shape = header.get_data_shape()
    if len(shape) != 4 or channel >= shape[3]:
        raise DataError(f"{path} has the shape {'x'.join(map(str, shape))}, and no channel {channel} of images")
    start = int(header["vox_offset"])
    header.set_data_shape(shape[:3])
    size = math.prod(shape[:3]) * int(header.get_data_dtype().itemsize)
    block = header.binaryblock
    return block + content[len(block) : start] + content[start + channel * size :][:size]


def _read_stored(path: Path) -> bytes:
    """The file as it is stored. A device has no end, a pipe no beginning: only regular files are opened.

    Raises: DataError for another kind of file and for one that is too long, OSError of the file system.
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise _unreadable(path, "it is no regular file")
    if about.st_size <= _MOST_STORED:
        with path.open("rb") as stream:
            content = stream.read(_MOST_STORED + 1)  # it may be growing
        if len(content) <= _MOST_STORED:
            return content
    raise DataError(f"{path} has {about.st_size} bytes, expected at most {_MOST_STORED}")


class _Size(NamedTuple):
    """How long a file is by its own header, and how long its smallest layer of voxels; bytes."""

    expected: int
    layer: int


def _inflate(path: Path, content: bytes) -> bytes:
    """The content of a gzip file of one member or several, no more than its NIfTI header asks for and a layer.

    What lies behind the last member is left aside. zlib is given pieces, for it copies what is left of a piece at the
    end of each member, and a file may have a million of them.
    """
    parts = bytearray()
    size: _Size | None = None
    position, empty = 0, 0
    while content[position : position + 2] == _GZIP:
        inflater = zlib.decompressobj(_GZIP_WINDOW)
        began = len(parts)
        while not inflater.eof:
            room = _HEADER_BYTES if size is None else size.expected + size.layer - len(parts)
            if room <= 0:
                return bytes(parts)  # there is a layer more than the header says
            piece = inflater.unconsumed_tail
            if not piece:
                piece = content[position : position + _PIECE]
                position += len(piece)
            if not piece:
                raise _unreadable(path, "its compressed content ends before its checksum: the file is truncated")
            try:
                parts += inflater.decompress(piece, room)
            except zlib.error:
                raise _unreadable(path, "its compressed content is damaged (the gzip checksum does not fit)") from None
            size = size or _measure(path, bytes(parts))
        position -= len(inflater.unused_data)
        empty += len(parts) == began
        if empty > _MOST_EMPTY:
            raise _unreadable(path, f"more than {_MOST_EMPTY} parts of its compressed content are empty")
    return bytes(parts)


def _measure(path: Path, content: bytes) -> _Size:
    """The length of a file from the first bytes of it. Raises: DataError for a header that claims what cannot be."""
    kind = _KINDS.get(content[:4])
    if kind is None:
        raise _unreadable(path, _describe(content))
    try:
        header_class = kind().header_class
        header = header_class(content[: header_class.sizeof_hdr], check=False)
        shape = [int(side) for side in header.get_data_shape()]
        itemsize = int(header.get_data_dtype().itemsize)
        offset = float(header["vox_offset"])
    except MemoryError:
        raise
    except Exception as error:
        raise _told_by_nibabel(path, error) from None
    voxels = math.prod(shape) if shape and min(shape) > 0 else 0
    if not 0 < voxels <= MOST_VOXELS:
        raise DataError(f"{path} says that it has {voxels} voxels, expected 1 to {MOST_VOXELS}")
    if voxels * itemsize > MOST_BYTES:
        raise DataError(f"{path} says that its voxels take {voxels * itemsize} bytes, expected at most {MOST_BYTES}")
    if not 0 <= offset <= _MOST_OFFSET:
        raise _unreadable(path, f"its header says that its voxels begin at byte {offset:g}")
    return _Size(int(offset) + voxels * itemsize, voxels // max(shape) * itemsize)


def _nifti1() -> type[Nifti1Image]:
    return _quiet_nibabel().Nifti1Image


def _nifti2() -> type[Nifti1Image]:
    return _quiet_nibabel().Nifti2Image


def _quiet_nibabel() -> Any:
    """nibabel, which would say on standard error what it mends in a header; what is wrong is said by us."""
    import nibabel
    from nibabel import imageglobals

    imageglobals.logger.setLevel(logging.CRITICAL)
    return nibabel


_KINDS = {  # the first four bytes of a file: the length of its header, in either order of bytes
    length.to_bytes(4, order): kind for length, kind in ((348, _nifti1), (540, _nifti2)) for order in _ORDERS
}


def _told_by_nibabel(path: Path, error: Exception) -> DataError:
    """Our sentence for whatever nibabel says of a header; its errors have no common parent. Others are raised on."""
    if isinstance(error, _OF_HEADERS) or type(error).__module__.startswith("nibabel"):
        return _unreadable(path, "its header contradicts itself or is truncated")
    raise error


def _describe(content: bytes) -> str:
    """What a file is that does not begin as NIfTI does."""
    if not any(content):
        return "it holds nothing but zeros" if content else "it is empty"
    for offset, magic, meaning in _OTHERS:
        if content[offset : offset + len(magic)] == magic:
            return f"it is {meaning}"
    if content[:200].isascii() and b"\0" not in content[:200]:
        return "it is text"
    return "it does not begin as NIfTI does (truncated or damaged?)"


def _unreadable(path: Path, why: str) -> DataError:
    return DataError(f"{path} cannot be read as NIfTI: {why}")
