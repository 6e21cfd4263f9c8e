"""Certificates that are revoked before they end: a list that the root signed and each participant enforces by itself.

A certificate revocation list (RFC 5280) in `local/revoked.crl`. The server needs not be trusted for it.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fedbrats.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, CertificateRevocationList

REVOKED_FILE = "revoked.crl"
MOST_OF_LIST = 2**24  # bytes: some hundred thousand certificates


def read_revoked(path: Path, root: Certificate) -> CertificateRevocationList | None:
    """A list that this root signed; None for a list of an earlier root, none of whose certificates counts any more.

    Raises: ConfigurationError for a file that cannot be read, is no such list, or whose signature is wrong.
    """
    return _judge(path, _content_of(path), root)


def _content_of(path: Path) -> bytes:
    """At most MOST_OF_LIST bytes of a regular file. Raises: ConfigurationError."""
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no regular file")
        with path.open("rb") as stream:
            content = stream.read(MOST_OF_LIST + 1)
        if len(content) > MOST_OF_LIST:
            raise ValueError(f"it has more than {MOST_OF_LIST} bytes")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} is no list of revoked certificates: {error}; ask for it again") from None
    return content


def _judge(path: Path, content: bytes, root: Certificate) -> CertificateRevocationList | None:
    from cryptography.x509 import AuthorityKeyIdentifier, load_pem_x509_crl

    try:
        found = load_pem_x509_crl(content)
        signed_by = found.extensions.get_extension_for_class(AuthorityKeyIdentifier).value
        number_of(found)
        for entry in found:
            _ = entry.serial_number
    except Exception as error:  # a file of any content: cryptography raises many kinds
        raise ConfigurationError(
            f"{path} is no list of revoked certificates: {error!r:.200}; ask for it again"
        ) from None
    if signed_by != AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()):  # type: ignore[arg-type]
        return None
    if not found.is_signature_valid(root.public_key()):  # type: ignore[arg-type]
        raise ConfigurationError(f"{path} was altered: its signature is not the root's; ask for the list again")
    return found


def number_of(listed: CertificateRevocationList) -> int:
    """The number of a list; each later one has a higher number. Raises: ExtensionNotFound."""
    from cryptography.x509 import CRLNumber

    return listed.extensions.get_extension_for_class(CRLNumber).value.crl_number


def revoked_since(certificate: Certificate, local_dir: Path, root: Certificate) -> datetime | None:
    """When a certificate was revoked, as the list in a kit's `local` folder says; None where it was not.

    Raises: ConfigurationError for a list that cannot be read or was altered: then nothing counts.
    """
    path = local_dir / REVOKED_FILE
    listed = read_revoked(path, root) if path.exists() or path.is_symlink() else None
    entry = listed and listed.get_revoked_certificate_by_serial_number(certificate.serial_number)
    return entry.revocation_date_utc if entry else None


def accept_list(source: Path, local_dir: Path, root: Certificate) -> CertificateRevocationList:
    """Put a list into a kit's `local` folder, where it counts from the next job on.

    Raises: ConfigurationError for a list that is not this root's, or is older than the one that is there.
    """
    from fedbrats.atomic import write_bytes_atomic

    content = _content_of(source)
    new = _judge(source, content, root)
    if new is None:
        raise ConfigurationError(f"{source} is a list of another root than this kit's; ask for the list again")
    path = local_dir / REVOKED_FILE
    old = read_revoked(path, root) if path.exists() else None
    if old is not None and number_of(old) > number_of(new):
        raise ConfigurationError(
            f"{source} has number {number_of(new)}, and the kit has a newer list, {number_of(old)}: ask for the newest"
        )
    write_bytes_atomic(path, lambda stream: stream.write(content))
    return new
