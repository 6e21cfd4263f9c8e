"""Prepare every case once and keep it memory-mapped on disk, keyed by the content of its files and by the settings.

An entry is a folder: `image.npy`, `mask.npy` and `entry.json` with their checksums. It is written beside its place and
renamed into it, so several sites of one machine may prepare the same case at once and a crash leaves nothing that
counts. A small index remembers the content hash of files by their size and time, so that a warm start reads no scan.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import stat
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedbrats.array_files import map_array
from fedbrats.atomic import FOLDER_MODE, write_json_atomic
from fedbrats.data.cases.case import Case
from fedbrats.data.prepare.preparation import (
    Geometry,
    PreparedCase,
    prepare,
)
from fedbrats.data.prepare.room import ENTRY, NO_LIMITS, UNFINISHED, CacheRoom, PreparationLimits, take_away
from fedbrats.data.prepare.settings import CacheSettings
from fedbrats.data.prepare.soundness import BrokenCaseError, check_files
from fedbrats.data.regions import LabelConvention
from fedbrats.errors import DamagedFileError, DataError

__all__ = ["CacheSettings", "CachedCase", "RejectedCase", "prepare_case", "prepare_cases"]

FORMAT_VERSION = 3  # part of every key: raise it whenever preparation gives other numbers
_IMAGE, _MASK = "image.npy", "mask.npy"
_LOCK = "lock"
_ABANDONED_AFTER_S = 3600.0
_UNSOUND = (OSError, ValueError, LookupError, TypeError, AttributeError, DamagedFileError, BrokenCaseError)  # an entry

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CachedCase:
    """A prepared case: image float16 (4, X, Y, Z) and mask uint8 (3, X, Y, Z) or None, both memory-mapped read-only.

    files: what is mapped, with its size: see `fedbrats.data.prepare.soundness`.
    """

    name: str
    patient: str
    image: NDArray[np.float16]
    mask: NDArray[np.uint8] | None
    geometry: Geometry
    files: tuple[tuple[Path, int], ...] = ()


def common_spacing(cases: Iterable[CachedCase]) -> float | None:
    """The voxel size in mm at which all these cases were prepared; None where they differ, or voxels are no cubes.

    A model that was trained at the scans' own size can then be asked about a scan of another.
    """
    sizes = np.array([case.geometry.spacing_mm for case in cases])
    if not sizes.size or np.ptp(sizes) > 0.01 * sizes.min():
        return None
    return round(float(np.median(sizes)), 3)


@dataclass(frozen=True)
class RejectedCase:
    """A case that cannot be used, and why, in one sentence."""

    name: str
    reason: str


class CacheError(DataError):
    """The cache itself cannot be written, or does not keep what is, which no other case would survive either."""


def prepare_cases(
    cases: Sequence[Case],
    convention: LabelConvention,
    cache_dir: Path,
    settings: CacheSettings,
    *,
    workers: int = 1,
    limits: PreparationLimits = NO_LIMITS,
) -> tuple[list[CachedCase], list[RejectedCase]]:
    """Prepare many cases in `workers` threads, in order; a bad case is logged and rejected, and never stops the others.

    Raises: DataError if the cache cannot be written, ConfigurationError where the cases would exceed the limits.
    """
    _remove_abandoned(cache_dir)
    room = CacheRoom(cache_dir, limits)
    prepared: list[CachedCase] = []
    rejected: list[RejectedCase] = []
    attempt = partial(_try_to_prepare, convention=convention, cache_dir=cache_dir, settings=settings, room=room)
    with ThreadPoolExecutor(max(1, workers)) as pool:  # reading, inflating and numpy let go of the interpreter
        try:
            for outcome in pool.map(attempt, cases):
                if isinstance(outcome, CachedCase):
                    prepared.append(outcome)
                else:
                    rejected.append(outcome)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if rejected:
        logger.warning("cases were rejected: rejected=%d usable=%d", len(rejected), len(prepared))
    return prepared, rejected


def prepare_case(
    case: Case, convention: LabelConvention, cache_dir: Path, settings: CacheSettings, room: CacheRoom | None = None
) -> CachedCase:
    """The prepared case, from the cache if a sound entry is there, else prepared and stored.

    Other processes may take the entry away, as they found it corrupt, or put a sound one there at any moment.

    Raises: DataError naming the case and file that cannot be used; CacheError (a DataError) if the disk is full, or the
        entry is not sound after it was rebuilt twice; ConfigurationError where there is no room for it.
    """
    room = room or CacheRoom(cache_dir, NO_LIMITS)
    key = _key_of(case, convention, cache_dir, settings)
    folder = cache_dir / key
    for rebuilds_left in (2, 1, 0):
        stamp = _stamp_of(folder)
        try:
            entry = _open_entry(folder, case)
            room.touch(folder)
            return entry
        except _UNSOUND as error:
            reason = str(error)
        if stamp or folder.is_dir():
            logger.warning("rebuilding a corrupt cache entry: entry=%s reason=%s", folder, reason)
            _discard(folder, stamp)
        if rebuilds_left and not folder.is_dir():
            prepared = prepare(case, convention, settings, room.limits)
            room.make(prepared.image.nbytes + (0 if prepared.mask is None else prepared.mask.nbytes))
            _store_entry(folder, prepared)
    raise CacheError(
        f"the cache {cache_dir} does not keep what is written: the entry {folder.name} of case {case.name} was rebuilt "
        f"twice and is not sound ({reason}); look at that disk, or choose another cache folder"
    )


def _try_to_prepare(
    case: Case, convention: LabelConvention, cache_dir: Path, settings: CacheSettings, room: CacheRoom
) -> CachedCase | RejectedCase:
    try:
        return prepare_case(case, convention, cache_dir, settings, room)
    except CacheError:
        raise
    except DataError as error:
        return RejectedCase(case.name, str(error))


def _key_of(case: Case, convention: LabelConvention, cache_dir: Path, settings: CacheSettings) -> str:
    """A name for what preparation would give: a hash of the files' bytes, the convention and the settings."""
    paths = (*case.image_paths, *([case.label] if case.label else []))
    digests = [_digest_of(path, case, cache_dir) for path in paths]
    recipe = [FORMAT_VERSION, digests, case.label is not None, convention.name, settings.model_dump()]
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:32]


def _digest_of(path: Path, case: Case, cache_dir: Path) -> str:
    """The content hash of a file, from the index while its size and time stay as they were."""
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"case {case.name}: {path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):  # a device has no end, a pipe waits for somebody who writes
        raise DataError(f"case {case.name}: {path} cannot be read: it is no regular file")
    stamp = [status.st_size, status.st_mtime_ns]
    index = cache_dir / "index" / hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:32]
    try:
        known = json.loads(index.read_text(encoding="utf-8"))
        if known["stamp"] == stamp:
            return known["digest"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not indexed, or an index written by a crash: hashing gives it anew
    try:
        digest = _hash_file(path)
    except OSError as error:
        raise DataError(f"case {case.name}: {path} cannot be read: {error.strerror}") from None
    with _telling_a_full_disk(cache_dir):
        write_json_atomic(index, {"stamp": stamp, "digest": digest})
    return digest


def _hash_file(path: Path) -> str:
    sha = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()


def _store_entry(folder: Path, prepared: PreparedCase) -> None:
    with _telling_a_full_disk(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder.parent))
        lock = (unfinished / _LOCK).open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)  # somebody is at work here, whatever the clock says
            checksums = {_IMAGE: _write_array(unfinished / _IMAGE, prepared.image)}
            if prepared.mask is not None:
                checksums[_MASK] = _write_array(unfinished / _MASK, prepared.mask)
            write_json_atomic(unfinished / ENTRY, {"checksums": checksums, "geometry": prepared.geometry.to_document()})
            unfinished.chmod(FOLDER_MODE)
            (unfinished / _LOCK).unlink()
            _move_into_place(unfinished, folder)
        finally:
            lock.close()
            shutil.rmtree(unfinished, ignore_errors=True)


def _move_into_place(unfinished: Path, folder: Path) -> None:
    try:
        unfinished.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was quicker with the very same entry
            raise


def _write_array(path: Path, array: NDArray[Any]) -> int:
    array = np.ascontiguousarray(array)
    with path.open("wb") as stream:  # np.save would not say that the disk is full
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
        stream.write(array.data)
        stream.flush()
        os.fsync(stream.fileno())
    return _checksum(array)


def _checksum(array: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data.cast("B"))


def _open_entry(folder: Path, case: Case) -> CachedCase:
    """Map an entry's arrays and verify their checksums, which also brings them into the page cache for training.

    Raises: one of `_UNSOUND` if the entry is not sound.
    """
    document = json.loads((folder / ENTRY).read_text(encoding="utf-8"))
    arrays = {}
    for name, checksum in document["checksums"].items():
        arrays[name] = map_array(folder / name)
        if _checksum(arrays[name]) != checksum:
            raise ValueError(f"{name} does not have the checksum it was stored with")
    image, mask = arrays[_IMAGE], arrays.get(_MASK)
    if image.dtype != np.float16 or image.ndim != 4 or (mask is not None and mask.dtype != np.uint8):
        raise ValueError(f"{_IMAGE} or {_MASK} is not an array of a prepared case")
    files = tuple((folder / name, (folder / name).stat().st_size) for name in arrays)
    cached = CachedCase(case.name, case.patient, image, mask, Geometry.from_document(document["geometry"]), files)
    check_files(cached)
    return cached


def _stamp_of(folder: Path) -> tuple[int, int] | None:
    """What tells an entry from one that has taken its place; None without. A new file may get the old one's inode."""
    try:
        status = (folder / ENTRY).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _discard(folder: Path, stamp: tuple[int, int] | None) -> None:
    """Take away the entry of this stamp; another process may have put a sound one in its place."""
    if _stamp_of(folder) == stamp:
        take_away(folder)


def _remove_abandoned(cache_dir: Path) -> None:
    """Remove what killed processes left unfinished; young ones and locked ones may belong to a process at work."""
    for path in cache_dir.glob(f"{UNFINISHED}*"):
        try:
            if time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S and not _is_locked(path / _LOCK):
                shutil.rmtree(path, ignore_errors=True)
        except FileNotFoundError:
            continue


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


@contextmanager
def _telling_a_full_disk(cache_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CacheError(
            f"the cache {cache_dir} cannot be written: {error.strerror or error}; "
            f"free space there or choose another cache folder"
        ) from None
