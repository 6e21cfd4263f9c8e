"""One archive of what a participant cannot make again, and a participant from it on an empty disk.

The archive is a tar file: `kit/`, then one folder for each place outside the kit (fedbrats.admin.operate.places), and
last `manifest.json` with the size and SHA-256 of every file. An archive without a manifest is cut, and is refused.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import fedbrats
from fedbrats.admin.kits import Kit, open_kit
from fedbrats.admin.operate.places import JOBS, PLACES, STATE, move_server, places_of
from fedbrats.admin.run.processes import PROCESS_FILES
from fedbrats.atomic import FOLDER_MODE, PRIVATE_FILE, PRIVATE_FOLDER, write_bytes_atomic
from fedbrats.errors import FedbratsError

KIT = "kit"
MANIFEST = "manifest.json"
FORMAT = 1
# Of a kit: what can be made again.
LEFT_OUT_FOLDERS = ("venv", ".venv", "cache", "__pycache__")
CHUNK = 2**20
WHOLE = 64 * 2**20  # a file up to this size is read at once: one that is being written has the length that was read


@dataclass
class Contents:
    """What is in an archive. files: by its path there, (size, SHA-256); skipped: what is no regular file."""

    files: dict[str, tuple[int, str]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for size, _ in self.files.values())


def write_backup(kit: Kit, archive: Path) -> Contents:
    """Write an archive of a participant, which may be running; it has the kit's private key, so its owner's alone.

    Raises: FedbratsError where the archive would be part of itself or its folder is not there (a folder that was made
        where a disk is not mounted would fill another disk), or a large file changes while it is read.
        OSError of the file system; no half archive stays.
    """
    if not archive.absolute().parent.is_dir():
        raise FedbratsError(
            f"the folder {archive.parent} of the backup is not there: is its file system mounted? Mount it, or make it"
        )
    sources = {KIT: kit.folder, **places_of(kit)}
    for folder in sources.values():
        if archive.resolve().is_relative_to(folder.resolve()):
            raise FedbratsError(f"{archive} is inside {folder}, which it is a backup of; name a file elsewhere")
    contents = Contents()

    def write(stream: BinaryIO) -> None:
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, folder in sources.items():
                for path in _files_below(folder, contents, LEFT_OUT_FOLDERS if name == KIT else ()):
                    _add(tar, path, str(PurePosixPath(name, *path.relative_to(folder).parts)), contents)
            _add_manifest(tar, kit, sources, contents)

    write_bytes_atomic(archive, write, mode=PRIVATE_FILE)
    return contents


def restore(archive: Path, folder: Path, storage: Path | None = None) -> tuple[Kit, dict[str, Path]]:
    """Make a participant from an archive: its kit in `folder`, the rest where it was or, of a server, below `storage`.

    Everything is read and compared with the manifest before anything has its place. The folders must be new or empty.

    Returns: the kit, and where each place outside it now is.
    Raises: FedbratsError for an archive that is cut, damaged or no backup, and for a folder that holds something.
    """
    manifest = read_manifest(archive)
    targets = _targets(manifest, folder, storage)
    for target in targets.values():
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise FedbratsError(f"{target} holds something; a backup is restored into new or empty folders only")
        if target.is_mount():
            raise FedbratsError(f"{target} is a mount point, which nothing can be moved onto; name a folder inside it")
        if any(other.absolute() in target.absolute().parents for other in targets.values()):
            raise FedbratsError(f"{target} is inside another folder of the restore; name one beside it")
    with ExitStack() as stack:
        beside = {name: _folder_beside(stack, target) for name, target in targets.items()}
        _extract(archive, manifest, beside)
        if storage is not None:
            move_server(beside[KIT] / "local", storage.absolute(), with_state=STATE in targets)
        for name, target in targets.items():
            if target.exists():
                target.rmdir()
            beside[name].rename(target)
    kit = open_kit(folder)
    return kit, {name: target for name, target in targets.items() if name != KIT}


def read_manifest(archive: Path) -> dict[str, Any]:
    """What an archive says of itself. Raises: FedbratsError where it is none, or its end is missing."""
    try:
        with tarfile.open(archive, mode="r:") as tar:
            last = None
            for last in tar:  # noqa: B007
                pass
            stream = tar.extractfile(last) if last is not None and last.name == MANIFEST else None
            manifest = json.loads(stream.read()) if stream else None
    except (tarfile.TarError, ValueError) as error:
        raise FedbratsError(f"{archive} is no backup, or its end is missing: {error}") from None
    if manifest is None or not _is_manifest(manifest):
        raise FedbratsError(
            f"{archive} is no backup that fedbrats {fedbrats.__version__} can read, or its end is missing"
        )
    return manifest


def _is_manifest(document: Any) -> bool:
    """Whether a document has what a restore reads of a manifest, and names no place that no kit has."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        return False
    places, files = document.get("places"), document.get("files")
    return (
        all(isinstance(document.get(name), str) for name in ("name", "kind", "made"))
        and isinstance(places, dict)
        and all(name in PLACES and isinstance(path, str) for name, path in places.items())
        and isinstance(files, dict)
        and all(isinstance(about, list) for about in files.values())
    )


def _files_below(folder: Path, contents: Contents, left_out: tuple[str, ...]) -> Iterator[Path]:
    """Regular files below a folder in the order of their names; a folder that is not there has none.

    Raises: OSError for a folder that cannot be read.
    """

    def stop(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # the server may have removed it meanwhile
            raise error

    for parent, folders, names in os.walk(folder, onerror=stop):
        at_top = Path(parent) == folder
        folders[:] = sorted(name for name in folders if not (at_top and name in left_out))
        contents.skipped += [str(path) for name in folders if (path := Path(parent, name)).is_symlink()]
        for name in sorted(names):
            path = Path(parent, name)
            if at_top and name in PROCESS_FILES:
                continue
            if path.is_symlink() or not path.is_file():
                if path.is_symlink() or path.exists():
                    contents.skipped.append(str(path))
                continue
            yield path


def _add(tar: tarfile.TarFile, path: Path, name: str, contents: Contents) -> None:
    """Add a file as it is now; one that has gone since it was found is left out, as the server removed it."""
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return
    with stream:
        about = os.fstat(stream.fileno())
        entry = tarfile.TarInfo(name)
        entry.mode, entry.mtime = stat.S_IMODE(about.st_mode), int(about.st_mtime)
        if about.st_size <= WHOLE:
            content = stream.read()
            entry.size = len(content)
            reader: Any = _Hashed(io.BytesIO(content))
        else:
            entry.size = about.st_size
            reader = _Hashed(stream)
        try:
            tar.addfile(entry, reader)
        except OSError as error:
            if error.errno is None:  # tarfile's own: the file has become shorter
                raise FedbratsError(f"{path} changed while it was read; make the backup again") from None
            raise
    contents.files[name] = (entry.size, reader.total.hexdigest())


class _Hashed:
    """A stream for tarfile that keeps the SHA-256 of what was read."""

    def __init__(self, stream: BinaryIO | io.BytesIO):
        self._stream = stream
        self.total = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """As of any stream."""
        content = self._stream.read(size)
        self.total.update(content)
        return content


def _add_manifest(tar: tarfile.TarFile, kit: Kit, sources: Mapping[str, Path], contents: Contents) -> None:
    manifest = {
        "format": FORMAT,
        "name": kit.name,
        "kind": kit.kind,
        "fedbrats": fedbrats.__version__,
        "made": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "places": {name: str(folder.absolute()) for name, folder in sources.items() if name != KIT},
        "files": contents.files,
        "skipped": contents.skipped,
    }
    text = json.dumps(manifest).encode()
    entry = tarfile.TarInfo(MANIFEST)
    entry.size, entry.mode, entry.mtime = len(text), PRIVATE_FILE, int(time.time())
    tar.addfile(entry, io.BytesIO(text))


def _targets(manifest: Mapping[str, Any], folder: Path, storage: Path | None) -> dict[str, Path]:
    """Where each part of an archive is to be."""
    places = {name: Path(path) for name, path in manifest["places"].items()}
    if storage is not None:
        if JOBS not in places:
            raise FedbratsError(
                f"--storage is for a server whose jobs are outside its kit; this is {manifest['name']}, a "
                f"{manifest['kind']}, whose backup has {', '.join(places) or 'the kit'} only"
            )
        places = {name: storage / name for name in places}
    return {KIT: folder, **places}


def _folder_beside(stack: ExitStack, target: Path) -> Path:
    """A folder for its owner alone on the file system of `target`, gone at the end unless it has become that."""
    for parent in reversed(target.absolute().parents):
        if not parent.exists():
            parent.mkdir(mode=FOLDER_MODE)
            stack.callback(_remove_if_empty, parent)
    path = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".restore", dir=target.parent))
    path.chmod(PRIVATE_FOLDER)
    stack.callback(shutil.rmtree, path, ignore_errors=True)
    return path


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _extract(archive: Path, manifest: Mapping[str, Any], folders: Mapping[str, Path]) -> None:
    """Write the archive's files below `folders`, by its first part; each is compared with the manifest."""
    missing = dict(manifest["files"])
    with tarfile.open(archive, mode="r:") as tar:
        for entry in tar:
            if entry.name == MANIFEST:
                continue
            place, *parts = PurePosixPath(entry.name).parts or ("",)
            if not entry.isfile() or not parts or ".." in parts or entry.name not in missing:
                raise FedbratsError(f"{archive} has an entry that no backup has: {entry.name!r:.200}")
            if place not in folders:  # the server keeps it inside its kit now
                raise FedbratsError(f"{archive} has an entry of an unknown place: {entry.name!r:.200}")
            source = tar.extractfile(entry)
            assert source is not None
            path = folders[place].joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
            total = hashlib.sha256()
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, entry.mode & 0o700), "wb") as target:
                while content := source.read(CHUNK):
                    total.update(content)
                    target.write(content)
                target.flush()
                os.fsync(target.fileno())
            if [entry.size, total.hexdigest()] != missing.pop(entry.name):
                raise FedbratsError(f"{archive} is damaged: {entry.name!r:.200} is not what was written")
    if missing:
        raise FedbratsError(f"{archive} is damaged: it lacks {len(missing)} files, {sorted(missing)[0]!r:.200} first")
