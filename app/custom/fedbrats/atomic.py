"""Write files so that a crash leaves the old content or the new one, never half of either."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

_UMASK = os.umask(0o077)  # read once: only setting it tells it, and a thread that made a file meanwhile would use 0o077
os.umask(_UMASK)


_flushes = True


def leave_flushing_to_the_system() -> None:
    """From now on this process does not wait until what it writes is on the disk.

    For a simulation, whose files nobody takes up after a power cut. A process that is killed still leaves the old
    content or the new one.
    """
    global _flushes
    _flushes = False


PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700  # modes of what its owner alone may read
FOLDER_MODE = 0o777 & ~_UMASK  # of a folder that is made for this process's account, as its umask says


def write_bytes_atomic(path: Path, write: Callable[[BinaryIO], Any], *, mode: int = 0o666 & ~_UMASK) -> None:
    """Call `write` with a temporary file beside `path`, flush it to the disk and rename it onto `path`.

    The file has `mode` before it has its name, also where it replaces one of another mode.

    Raises: OSError of the file system (a full disk, say); nothing half-written stays and `path` keeps its old content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            write(stream)
            stream.flush()
            if _flushes:
                os.fsync(stream.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_text_atomic(path: Path, text: str, *, mode: int = 0o666 & ~_UMASK) -> None:
    """Atomically write UTF-8 text."""
    write_bytes_atomic(path, lambda stream: stream.write(text.encode("utf-8")), mode=mode)


def write_json_atomic(path: Path, document: Any, *, mode: int = 0o666 & ~_UMASK) -> None:
    """Atomically write `document` as indented JSON; NaN and infinity are refused (they are not JSON)."""
    write_text_atomic(path, json.dumps(document, indent=2, allow_nan=False) + "\n", mode=mode)


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Append whole lines in one write, so that a reader meanwhile sees only whole ones.

    Half a line, which a crash may leave at the end, is cut off first. Not flushed to the disk: a power cut may take the
    last seconds of lines. Raises: OSError of the file system; the file is then as long as it was.
    """
    content = "".join(f"{line}\n" for line in lines).encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+", buffering=0) as stream:
        length = _length_of_whole_lines(stream)
        stream.truncate(length)
        try:
            if stream.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except OSError:
            stream.truncate(length)
            raise


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` to fill, which becomes `path` when the block ends and vanishes when it fails.

    What `path` held before is replaced whole, at the end. Where the file system cannot exchange two folders in one step
    (NFS, macOS), there is no `path` for a moment; a process that is killed in that moment leaves the old folder beside
    it as `.NAME.*.old` and the new one as `.NAME.*.tmp`.

    Raises:
        OSError: The file system did not take it; `path` is what it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(FOLDER_MODE)
        _sync_tree(temporary)
        replace_folder(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(new: Path, path: Path) -> None:
    """Move the folder `new` to `path`, which must be on the same file system, and remove what was there.

    Raises:
        OSError: The file system did not do it; both folders are what they were.
    """
    if not path.exists():
        new.rename(path)
    elif _exchange(new, path):
        shutil.rmtree(new, ignore_errors=True)
    else:
        _replace_in_two_steps(new, path)
    _sync_folder(path.parent)


def _replace_in_two_steps(new: Path, path: Path) -> None:
    """Put `new` in the place of the folder `path`; the old one goes back where that fails, and is removed last."""
    retired = path.with_name(f".{path.name}.{secrets.token_hex(4)}.old")
    path.rename(retired)
    try:
        new.rename(path)
    except BaseException:
        retired.rename(path)
        raise
    shutil.rmtree(retired, ignore_errors=True)


def _length_of_whole_lines(stream: FileIO) -> int:
    """The length of a file up to and with its last line end."""
    end = stream.seek(0, os.SEEK_END)
    while end:
        begin = max(0, end - 4096)
        stream.seek(begin)
        found = stream.read(end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _exchange(first: Path, second: Path) -> bool:
    """Let two folders change places in one step; False where the system or the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)  # glibc from 2.28 on; Python has no name for it
    if renameat2 is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return renameat2(here, os.fsencode(first), here, os.fsencode(second), exchange) == 0


def _sync_tree(folder: Path) -> None:
    """Bring every file below a folder to the disk, so that no rename can get there before its content."""
    if not _flushes:
        return
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if not path.is_symlink():
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        _sync_folder(Path(parent))


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; file systems that cannot sync a folder are left to their own order."""
    if not _flushes:
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
