"""The packages that a consortium agreed on, with checksums: for pip before they are installed, for `doctor` afterwards.

One text file has both. pip reads `name==version --hash=sha256:WHEEL`, and takes the rest of a line for a comment:
`# files sha256:FILES` is the checksum of what RECORD of the wheel says of its files (path and SHA-256). pip writes
these lines into the RECORD of the installed package, so that the same checksum comes out there.
"""

from __future__ import annotations

import csv
import hashlib
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path

from fedbrats.errors import ConfigurationError

REQUIREMENTS = "requirements.txt"
_LINE = re.compile(r"(\S+)==(\S+) --hash=sha256:([0-9a-f]{64})  # files sha256:([0-9a-f]{64})")
_RELOCATED = re.compile(r"[^/]+\.data/(purelib|platlib)/")  # pip writes these beside the others
_BY_PIP = ("INSTALLER", "REQUESTED", "direct_url.json", "RECORD", "RECORD.jws", "RECORD.p7s")


@dataclass(frozen=True)
class Listed:
    """A package of the list. wheel, files: checksums, SHA-256 in hexadecimal."""

    name: str
    version: str
    wheel: str
    files: str

    def line(self) -> str:
        """The line of the list."""
        return f"{self.name}=={self.version} --hash=sha256:{self.wheel}  # files sha256:{self.files}"


def read_wheel(path: Path) -> Listed:
    """What the list says of a wheel. Raises: ConfigurationError where it is none."""
    try:
        with zipfile.ZipFile(path) as wheel:
            (record,) = (name for name in wheel.namelist() if re.fullmatch(r"[^/]+\.dist-info/RECORD", name))
            rows = list(csv.reader(wheel.read(record).decode().splitlines()))
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"{path} is no wheel: {error}; fetch it again") from None
    name, version, *_ = path.name.split("-")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Listed(name, version, digest, checksum((row[0], row[1]) for row in rows if len(row) == 3))


def read_requirements(path: Path) -> list[Listed]:
    """The list. Raises: ConfigurationError for a file that cannot be read, or has a line of another form."""
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from None
    found = [(line, _LINE.fullmatch(line)) for line in lines]
    if wrong := [line for line, match in found if match is None]:
        raise ConfigurationError(f"{path}: {wrong[0]!r:.100} is no line of `fedbrats provision wheelhouse`")
    return [Listed(*match.groups()) for _, match in found if match]


def installed_checksum(package: Distribution) -> str | None:
    """The checksum of what RECORD of an installed package says; None where it has no RECORD."""
    record = package.read_text("RECORD")
    if record is None:
        return None
    return checksum((row[0], row[1]) for row in csv.reader(record.splitlines()) if len(row) == 3)


def altered_files(package: Distribution) -> Iterator[str]:
    """The files of an installed package that are missing, or not as its RECORD says."""
    import base64

    record = package.read_text("RECORD") or ""
    for path, said, _ in csv.reader(record.splitlines()):
        if not _counts(path, said):
            continue
        try:
            with Path(str(package.locate_file(path))).open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").digest()
        except OSError:
            yield path
            continue
        if "sha256=" + base64.urlsafe_b64encode(found).rstrip(b"=").decode() != said:
            yield path


def checksum(rows: Iterable[tuple[str, str]]) -> str:
    """SHA-256 of the lines of a RECORD, in the wheel as where it was installed.

    Scripts and shared data, which pip writes elsewhere and changes, and what pip adds are left out.

    Args:
        rows: path and `sha256=...` of each file.
    """
    kept = ((_RELOCATED.sub("", path), said) for path, said in rows)
    lines = sorted(f"{path},{said}\n" for path, said in kept if _counts(path, said))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _counts(path: str, said: str) -> bool:
    outside = path.startswith(("..", "/")) or re.match(r"[^/]+\.data/", path)
    return bool(said) and not outside and not path.endswith(".pyc") and path.rpartition("/")[2] not in _BY_PIP
