"""An archive that arrives is judged by what it announces before anything of it is read, or a file of it written.

FLARE 2.9.0 unpacks the application of a job at a site before it looks at the signature, and a person's upload at the
server, with no bound on files and bytes: 10 MB can hold 10 GB of zeros. It writes its own archives uncompressed, so
that one with a compressed file is none of its own: what is refused here can therefore never grow.
"""

from __future__ import annotations

import logging
import os
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from fedbrats.outside import show

MOST_PATHS = 10_000  # files of an archive, and folders above them; a job has tens
MOST_OF_ONE = 2**31  # bytes of one file: a model has some hundred million
MOST_BYTES = 2**32  # of all files together: a start, and the models that a job evaluates
MOST_RESULT_PATHS, MOST_RESULT_BYTES = 10 * MOST_PATHS, 2**40  # of what a person downloads
MOST_OF_TEXT = 64 * 1024  # bytes of a job's meta.json, and of each configuration
LONGEST_NAME, LONGEST_PATH = 255, 1000  # signs; 255 is what a file system takes
CONFIG_FOLDER, META = "config", "meta"
TEXT_SUFFIX = ".json"
OTHER_SUFFIXES = (".conf", ".yml", ".yaml", ".default")  # FLARE reads these too: with includes and variables
_BYTES_OF_ENTRY = 512  # of an archive's directory, for each path
_SIZE_OF_DIRECTORY = 5  # its place in what zipfile reads at the end of an archive
logger = logging.getLogger(__name__)


class JudgedZip(ZipFile):
    """FLARE's `ZipFile`, which reads no archive that `fault_of_archive` refuses. Raises: ValueError."""

    bounds = MOST_PATHS, MOST_OF_ONE, MOST_BYTES

    def __init__(self, file: Any, mode: Any = "r", *args: Any, **kwargs: Any) -> None:
        if mode == "r":
            _refuse(_fault_of_directory(file, self.bounds[0]))
        super().__init__(file, mode, *args, **kwargs)
        if mode == "r":
            try:
                _refuse(fault_of_archive(self.infolist(), _size_of(file), self.bounds))
            except ValueError:
                self.close()
                raise


class JudgedResult(JudgedZip):
    """The same, for what a person downloads: no more than was sent."""

    bounds = MOST_RESULT_PATHS, MOST_RESULT_BYTES, MOST_RESULT_BYTES


def judge_downloads() -> None:
    """Have FLARE unpack what this process, a person's, downloads after it was judged."""
    from nvflare.fuel.utils import zip_utils

    zip_utils.ZipFile = JudgedResult


def judge_archives() -> None:
    """Have FLARE's functions that unpack an archive, or read a job that is submitted, judge it first."""
    from nvflare.fuel.utils import zip_utils
    from nvflare.private.fed.server import job_meta_validator

    zip_utils.ZipFile = JudgedZip  # whoever has imported the functions there
    if job_meta_validator.ZipFile is JudgedZip:
        return
    job_meta_validator.ZipFile = JudgedZip
    validator = job_meta_validator.JobMetaValidator
    validate = validator._validate_zf

    def validate_texts(self: Any, job_name: str, archive: ZipFile) -> Any:
        _refuse(fault_of_texts(archive.infolist()))
        return validate(self, job_name, archive)

    validator._validate_zf = validate_texts


def fault_of_archive(files: list[ZipInfo], size: int, bounds: tuple[int, int, int]) -> str | None:
    """Why an archive is not unpacked, by what it announces; None where it is.

    Args:
        files: of the archive.
        size: its own, in bytes.
        bounds: of its paths, of the bytes of one file, and of all together.
    """
    most_paths, most_of_one, most_bytes = bounds
    paths = sum(1 + file.filename.count("/") for file in files)  # each may make the folders above it
    if paths > most_paths:
        return f"an archive of {paths} files and folders is not unpacked, of {most_paths} at most"
    if file := next((file for file in files if file.compress_type != ZIP_STORED), None):
        return f"an archive with a compressed file ({show(file.filename)}) is not unpacked: FLARE compresses none"
    largest = max((_bytes_of(file) for file in files), default=0)
    if largest > most_of_one:
        return f"an archive with a file of {largest} bytes is not unpacked, of {most_of_one} at most"
    total = sum(map(_bytes_of, files))
    if total > min(size, most_bytes):
        return f"an archive of {size} bytes that announces {total} is not unpacked, of {most_bytes} at most"
    return _fault_of_names([file.filename for file in files])


def fault_of_texts(files: list[ZipInfo]) -> str | None:
    """Why the texts of a job that is submitted are not read, before the server parses them; None where they are.

    FLARE takes the first of several formats that it finds. One of them includes files and addresses, and replaces names
    of environment variables by their values.
    """
    for file in files:
        folder, _, name = file.filename.rpartition("/")
        if folder.rpartition("/")[2] != CONFIG_FOLDER and name.partition(".")[0] != META:
            continue
        if name.endswith(OTHER_SUFFIXES):
            return f"a job's configuration is JSON, and {show(file.filename)} is refused"
        if name.endswith(TEXT_SUFFIX) and file.file_size > MOST_OF_TEXT:
            return f"{show(file.filename)} has {file.file_size} bytes, of {MOST_OF_TEXT} at most"
    return None


def _fault_of_names(names: list[str]) -> str | None:
    for name in names:
        parts = name.rstrip("/").split("/")
        if len(name) > LONGEST_PATH or max(map(len, parts)) > LONGEST_NAME or "" in parts or "." in parts:
            return f"an archive with the name {show(name)} is not unpacked"
        if not name.isprintable() or "\\" in name:
            return f"an archive with the name {show(name)} is not unpacked, for a sign in it"
    twice = [name for name, times in Counter(name.rstrip("/") for name in names).items() if times > 1]
    return f"an archive with two files {show(twice[0])} is not unpacked" if twice else None


def _bytes_of(file: ZipInfo) -> int:
    return max(file.file_size, file.compress_size)


def _refuse(why: str | None) -> None:
    if why:
        logger.warning(f"refused: {why}")
        raise ValueError(why)


def _fault_of_directory(file: Any, most_paths: int) -> str | None:
    """Why an archive's directory is not read: zipfile makes an object of some hundred bytes for each entry of it."""
    if isinstance(file, str | os.PathLike):
        with Path(file).open("rb") as stream:
            return _fault_of_directory(stream, most_paths)
    try:
        size = _bytes_of_directory(file)
    finally:
        file.seek(0)
    if size > most_paths * _BYTES_OF_ENTRY:
        return f"an archive with a directory of {size} bytes is not read, of {most_paths * _BYTES_OF_ENTRY} at most"
    return None


def _bytes_of_directory(stream: BinaryIO) -> int:
    try:
        found = zipfile._EndRecData(stream)  # type: ignore[attr-defined]
    except OSError:
        found = None
    if not found:
        raise BadZipFile("it is no zip archive")
    return int(found[_SIZE_OF_DIRECTORY])


def _size_of(file: Any) -> int:
    if isinstance(file, str | os.PathLike):
        return Path(file).stat().st_size
    place = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(place)
    return int(size)
