"""What somebody who helps from elsewhere needs to see of a participant, in one archive that they may see.

Only files of known names are read, and every text passes a `Redactor`: no private key, no certificate, no password,
token, case or patient is in the archive.
"""

from __future__ import annotations

import json
import os
import platform
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any, BinaryIO

import psutil

import fedbrats
from fedbrats.admin.kits import STARTUP, Kit, fingerprint
from fedbrats.admin.operate.doctor import examine
from fedbrats.admin.operate.health import look_at
from fedbrats.admin.operate.places import places_of
from fedbrats.admin.operate.redaction import REMOVED, Redactor, names_below
from fedbrats.atomic import PRIVATE_FILE, write_bytes_atomic
from fedbrats.errors import FedbratsError
from fedbrats.jobs.resume import JOB_ID
from fedbrats.site.site_file import SITE_FILE, read_site_facts

# Of a kit: its logs by these names, and those of its newest jobs.
LOGS = (
    *("log.txt", "log_error.txt", "log_fl.txt", "log_debug.txt"),
    *("audit.log", "console.txt", "console.txt.1", "start.log"),
)
MOST_JOBS = 5
MOST_LOG = 2 * 2**20  # bytes of the end of each log
SETTINGS = (
    *(f"local/{name}" for name in (SITE_FILE, "consortium.json", "privacy.json", "comm_config.json", "environment")),
    *(f"local/{name}.json{end}" for name in ("resources", "authorization", "log_config") for end in ("", ".default")),
    *(f"startup/{name}" for name in STARTUP.values()),
)  # fmt: skip
LOGS_LEFT_OUT = (
    "The logs are left out: this site's data folder names no case now, and the cache keeps no names, so nobody could "
    "take those of its cases out of the logs. Mend the folder first (`fedbrats doctor`), or put its datalist.json "
    "back, then make the bundle again. Until then the hospital's IT has to read log.txt of the kit itself.\n"
)
KEY_FILES = ("*.key", "*.pem", "*.pfx", "*.p12")


@dataclass(frozen=True)
class Bundle:
    """What an archive has. entries: name and bytes of each text in it."""

    entries: dict[str, int]


def write_bundle(kit: Kit, archive: Path, *, offline: bool = False) -> Bundle:
    """Write the archive of a server, a site or a person; its owner's alone may read it.

    offline: let the doctor leave the server alone.

    Raises: OSError of the file system; no half archive stays.
    """
    names = case_names(kit)
    redactor = redactor_of(kit, names)
    with_logs = kit.kind != "client" or bool(names)
    entries: dict[str, int] = {}

    def write(stream: BinaryIO) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, text in _texts(kit, offline, with_logs):
                content = redactor.clean(text).encode("utf-8", errors="backslashreplace")
                packed.writestr(name, content)
                entries[name] = len(content)

    write_bytes_atomic(archive, write, mode=PRIVATE_FILE)
    return Bundle(entries)


def case_names(kit: Kit) -> set[str]:
    """What a site's data folder calls its cases and patients; nothing where it is gone or the site file broken."""
    if kit.kind != "client":
        return set()
    try:
        return names_below(read_site_facts(kit.local_dir, kit.name).data_dir)
    except FedbratsError:
        return set()


def redactor_of(kit: Kit, names: set[str]) -> Redactor:
    """What knows the kit's keys, its cases by these names, and its jobs."""
    secrets = [
        line
        for folder in (kit.startup_dir, kit.local_dir, kit.folder)
        for pattern in KEY_FILES
        for path in folder.glob(pattern)
        for line in _read(path).splitlines()
        if not line.startswith("-----")
    ]
    return Redactor(names, secrets, [*_jobs(kit), *_stored_jobs(kit)])


def _texts(kit: Kit, offline: bool, with_logs: bool) -> Iterator[tuple[str, str]]:
    yield "versions.json", _json(_versions(kit))
    yield "certificates.json", _json(_certificates(kit))
    yield "doctor.json", _json([asdict(finding) for finding in examine(kit, offline=offline)])
    if kit.kind != "admin":
        yield "health.json", _json(_health(kit))
    for name in SETTINGS:
        if (path := kit.folder / name).is_file():
            yield f"settings/{name}", _settings(_read(path))
    if not with_logs:
        yield "logs/left-out.txt", LOGS_LEFT_OUT
    for name in _log_names(kit) if with_logs else ():
        yield f"logs/{name}", _end_of(kit.folder / name)
    yield "files.txt", "\n".join(_listed(kit))


def _versions(kit: Kit) -> dict[str, Any]:
    machine = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    packages = {str(each.name): str(each.version) for each in distributions() if each.name}
    try:
        flare = version("nvflare")
    except PackageNotFoundError:
        flare = "none"
    return {
        "kit": {"name": kit.name, "kind": kit.kind, "server": kit.server},
        "fedbrats": fedbrats.__version__,
        "nvflare": flare,
        "machine": machine,
        "packages": dict(sorted(packages.items())),
    }


def _certificates(kit: Kit) -> dict[str, Any]:
    """What people may read of the certificates; not the certificates, which a log would have as well."""
    return {
        name: {
            "subject": certificate.subject.rfc4514_string(),
            "valid": [certificate.not_valid_before_utc.isoformat(), certificate.not_valid_after_utc.isoformat()],
            "fingerprint": fingerprint(certificate),
        }
        for name, certificate in (("own", kit.certificate), ("root", kit.root))
    }


def _health(kit: Kit) -> Any:
    try:
        return asdict(look_at(kit))
    except FedbratsError as error:  # the doctor's rows say it too
        return {"error": str(error)}


def _settings(text: str) -> str:
    """A file of settings without the values of entries that are called like a secret."""
    try:
        return _json(_without_secrets(json.loads(text)))
    except (ValueError, RecursionError):
        return text  # the redactor knows such entries too


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: REMOVED if _is_secret(name, each) else _without_secrets(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_secrets(each) for each in value]
    return value


def _is_secret(name: str, value: Any) -> bool:
    words = ("password", "passwd", "passphrase", "secret", "token", "api_key", "apikey", "private_key", "credential")
    return isinstance(value, str | int) and any(word in name.lower() for word in words)


def _log_names(kit: Kit) -> list[str]:
    jobs = sorted(_jobs(kit), key=lambda job: (kit.folder / job).stat().st_mtime, reverse=True)[:MOST_JOBS]
    names = [*LOGS, *(f"{job}/{name}" for job in jobs for name in LOGS)]
    return [name for name in names if (kit.folder / name).is_file()]


def _end_of(path: Path) -> str:
    """The last whole lines of a log."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - MOST_LOG))
            content = stream.read(MOST_LOG)
    except OSError as error:
        return f"cannot be read: {error.strerror}\n"
    if size > MOST_LOG:
        content = content.partition(b"\n")[2]
    return content.decode("utf-8", errors="backslashreplace")


def _listed(kit: Kit) -> Iterator[str]:
    """Mode, size, time and name of what lies in a kit, but for its caches."""
    for folder in (kit.folder, kit.startup_dir, kit.local_dir):
        for path in sorted(folder.glob("*")):
            status = path.lstat()
            at = datetime.fromtimestamp(status.st_mtime, UTC).isoformat(timespec="seconds")
            yield f"{status.st_mode:o} {status.st_size:>12} {at} {path.relative_to(kit.folder)}"


def _jobs(kit: Kit) -> list[str]:
    return [path.name for path in kit.folder.glob("*") if JOB_ID.fullmatch(path.name) and path.is_dir()]


def _stored_jobs(kit: Kit) -> Sequence[str]:
    try:
        folders = list(places_of(kit).values())
    except FedbratsError:
        return []
    return [path.name for folder in folders for path in folder.glob("*") if JOB_ID.fullmatch(path.name)]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="backslashreplace")
    except OSError:
        return ""


def _json(document: Any) -> str:
    return json.dumps(document, indent=1, default=str)
