"""A startup kit as it lies on the disk: whose it is, what its certificate says, and which server it is for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.errors import ConfigurationError
from fedbrats.flare.process.obstacles import SERVER_FILE, SITE_STARTUP

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

STARTUP = {"server": SERVER_FILE, "client": SITE_STARTUP, "admin": "fed_admin.json"}


@dataclass(frozen=True)
class Kit:
    """One participant's kit.

    kind: `server`, `client` (a site) or `admin` (a person). server: `host:port`. role: of a person, else empty.
    """

    folder: Path
    kind: str
    name: str
    organisation: str
    role: str
    server: str
    expires: datetime
    certificate: Certificate
    root: Certificate

    @property
    def startup_dir(self) -> Path:
        """What provisioning signed; nobody edits it."""
        return self.folder / "startup"

    @property
    def local_dir(self) -> Path:
        """What belongs to the hospital."""
        return self.folder / "local"


def open_kit(folder: Path) -> Kit:
    """Read a kit. Raises: ConfigurationError where the folder is none, or a file of it cannot be read."""
    from cryptography.x509.oid import NameOID

    startup = folder / "startup"
    kind = next((kind for kind, name in STARTUP.items() if (startup / name).is_file()), None)
    if kind is None:
        raise ConfigurationError(
            f"{folder} is no startup kit: it has no startup folder with one of {', '.join(STARTUP.values())}"
        )
    certificate = read_certificate(startup / ("server.crt" if kind == "server" else "client.crt"))

    def subject(oid: Any) -> str:
        values = certificate.subject.get_attributes_for_oid(oid)
        return str(values[0].value) if values else ""

    return Kit(
        folder=folder,
        kind=kind,
        name=subject(NameOID.COMMON_NAME),
        organisation=subject(NameOID.ORGANIZATION_NAME),
        role=subject(NameOID.UNSTRUCTURED_NAME) if kind == "admin" else "",
        server=_server_address(kind, startup / STARTUP[kind]),
        expires=certificate.not_valid_after_utc,
        certificate=certificate,
        root=read_certificate(startup / "rootCA.pem"),
    )


def read_certificate(path: Path) -> Certificate:
    """Read a PEM certificate. Raises: ConfigurationError."""
    from cryptography.x509 import load_pem_x509_certificate

    try:
        return load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read the certificate {path}: {error}; ask for the kit again") from None


def fingerprint(certificate: Certificate) -> str:
    """SHA-256 of a certificate as people read it to each other over the telephone: `AB:CD:...`."""
    from cryptography.hazmat.primitives.hashes import SHA256

    return certificate.fingerprint(SHA256()).hex(":").upper()


def _server_address(kind: str, path: Path) -> str:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if kind == "admin":
            return f"{document['admin']['host']}:{document['admin']['port']}"
        return str(document["servers"][0]["service"]["target"])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ConfigurationError(f"{path} does not say where the server is: {error!r}; ask for the kit again") from None
