"""Revoke certificates: the root signs a list, which the project admin sends to every participant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.admin.kits import read_certificate
from fedbrats.admin.provision.consortium import BUILD_PREFIX
from fedbrats.admin.provision.root_key import Root, open_root
from fedbrats.atomic import write_bytes_atomic
from fedbrats.errors import ConfigurationError
from fedbrats.revoked import REVOKED_FILE, number_of, read_revoked

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate, CertificateRevocationList


def revoke_certificates(
    project: Mapping[str, Any],
    out_dir: Path,
    names: Sequence[str],
    files: Iterable[Path] = (),
    authority: Root | None = None,
) -> tuple[Path, int]:
    """Put every certificate of these participants on the list `revoked.crl` beside the kits.

    A certificate that is made later, by `renew`, is not on it.

    Args:
        project: of project.yml.
        names: of participants; those of the folder's builds count, former ones too.
        files: further certificates, of participants that made their own keys.
        authority: the root with its private key, needed where that lies apart.

    Returns: the list, and how many certificates are on it.
    Raises: ConfigurationError for a participant without a certificate, or one that the root did not sign.
    """
    authority = authority or open_root(project, out_dir)
    root = authority.certificate
    folder = out_dir / str(project["name"])
    certificates = [read_certificate(path) for path in files]
    for name in names:
        paths = sorted(folder.glob(f"{BUILD_PREFIX}*/{name}/startup/*.crt"))
        if not paths:
            raise ConfigurationError(f"{name} never had a certificate; see `fedbrats provision show`")
        ours = [read_certificate(path) for path in paths]
        certificates += [each for each in ours if is_issued_by(each, root)]  # those of a former root count nowhere
    path = folder / REVOKED_FILE
    old = read_revoked(path, root) if path.exists() else None
    content = make_list(old, certificates, root, authority.key)
    write_bytes_atomic(path, lambda stream: stream.write(content))
    made = read_revoked(path, root)
    return path, len(list(made or ()))


def is_issued_by(certificate: Certificate, root: Certificate) -> bool:
    """Whether the root signed a certificate."""
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def make_list(
    old: CertificateRevocationList | None, certificates: list[Certificate], root: Certificate, key: RSAPrivateKey
) -> bytes:
    """The list `old` with more certificates, signed by the root's key, as PEM.

    Raises: ConfigurationError for a certificate of another root.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding

    now = datetime.now(UTC)
    entries = {entry.serial_number: entry.revocation_date_utc for entry in old or ()}
    for certificate in certificates:
        if not is_issued_by(certificate, root):
            raise ConfigurationError(f"the certificate {certificate.subject.rfc4514_string()} is of another root")
        entries.setdefault(certificate.serial_number, now)
    builder = x509.CertificateRevocationListBuilder().issuer_name(root.subject).last_update(now)
    builder = builder.next_update(max(root.not_valid_after_utc, now + timedelta(days=1)))
    builder = builder.add_extension(x509.CRLNumber(number_of(old) + 1 if old is not None else 1), critical=False)
    signed_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key())  # type: ignore[arg-type]
    builder = builder.add_extension(signed_by, critical=False)
    for serial, since in sorted(entries.items()):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)
