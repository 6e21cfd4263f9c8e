"""Who a site is: its key pair of one exchange, signed with the certificate of its kit."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, ExtendedKeyUsage, ExtensionNotFound, load_pem_x509_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedbrats.errors import ConfigurationError, UpdateError

CERTIFICATE, KEY, ROOT = "client.crt", "client.key", "rootCA.pem"  # of a site's startup kit
SITE_STARTUP = "fed_client.json"  # there too
_PSS = padding.PSS(padding.MGF1(SHA256()), padding.PSS.DIGEST_LENGTH)


RevokedSince = Callable[[Certificate], datetime | None]


class ProtocolError(UpdateError):
    """A message of the exchange that a participant does not accept; nothing is revealed after it."""


@dataclass(frozen=True)
class Identity:
    """A participant's certificate (PEM) and the private key that belongs to it, both of its startup kit."""

    name: str
    certificate: bytes
    key: Any = field(repr=False)

    def sign(self, statement: bytes) -> bytes:
        """A signature (RSA-PSS or ECDSA, with SHA-256)."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(statement, _PSS, SHA256())
        return bytes(self.key.sign(statement, ec.ECDSA(SHA256())))


def read_identity(startup: Path, name: str) -> tuple[Identity, Certificate]:
    """The identity of a site and the root of its consortium, from its startup kit.

    Raises: ConfigurationError where the kit has none, or they cannot be read.
    """
    if missing := [each for each in (CERTIFICATE, KEY, ROOT) if not (startup / each).is_file()]:
        raise ConfigurationError(
            f"secure=pads needs the certificate of a startup kit, and {name} has no {missing[0]}: simulated sites have "
            f"no kit; use `fedbrats poc run` or provisioned kits, or secure=none"
        )
    certificate = (startup / CERTIFICATE).read_bytes()
    try:
        key = load_pem_private_key((startup / KEY).read_bytes(), password=None)
        root = load_pem_x509_certificate((startup / ROOT).read_bytes())
    except (ValueError, TypeError):
        raise ConfigurationError(
            f"the key or the root certificate in the startup kit of {name} cannot be read"
        ) from None
    return Identity(name, certificate, key), root


def read_servers(startup: Path) -> frozenset[str]:
    """The names of the servers in a site's startup kit: their certificates are as a site's, and sign no key of a sum.

    Raises: ConfigurationError where the kit does not say them.
    """
    path = startup / SITE_STARTUP
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return frozenset(str(server["identity"]) for server in document["servers"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{path} does not say who the server is: {error!r:.200}; ask for the kit again"
        ) from None


@dataclass(frozen=True)
class Announcement:
    """A site's public key for one exchange, and the certificate that signed it."""

    site: str
    public: bytes
    certificate: bytes
    signature: bytes


def announce(identity: Identity, job: str, own: X25519PrivateKey) -> Announcement:
    """The announcement of a key pair."""
    public = own.public_key().public_bytes_raw()
    signature = identity.sign(_statement(job, identity.name, public))
    return Announcement(identity.name, public, identity.certificate, signature)


def check_announcements(
    announcements: Iterable[Announcement],
    root: Certificate,
    job: str,
    sites: Collection[str],
    revoked_since: RevokedSince = lambda certificate: None,
) -> dict[str, tuple[X25519PublicKey, Certificate]]:
    """The public key and certificate of every one of these sites.

    Args:
        revoked_since: when a certificate was revoked, by the list that this participant has.

    Raises: ProtocolError where one is missing, twice, none of them, or not signed by a site's certificate of the root
        that counts today.
    """
    found: dict[str, tuple[X25519PublicKey, Certificate]] = {}
    for each in announcements:
        if each.site not in sites or each.site in found:
            raise ProtocolError(f"the server names {each.site!r:.60}, which is no site of this job, or names it twice")
        certificate = _certificate_of(each, root)
        if since := revoked_since(certificate):
            raise ProtocolError(f"the certificate of {each.site} was revoked on {since:%F}")
        check_signature(certificate, each.signature, _statement(job, each.site, each.public), each.site)
        found[each.site] = X25519PublicKey.from_public_bytes(each.public), certificate
    if missing := sorted(set(sites) - found.keys()):
        raise ProtocolError(f"the server passes on no key of {', '.join(missing)}, a site of this job")
    if len({key.public_bytes_raw() for key, _ in found.values()}) != len(found):
        raise ProtocolError("two sites have the same key")
    return found


def check_signature(certificate: Certificate, signature: bytes, statement: bytes, who: str) -> None:
    """Raise ProtocolError where a statement was not signed by the owner of a certificate."""
    key = certificate.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, statement, _PSS, SHA256())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, statement, ec.ECDSA(SHA256()))
        else:
            raise InvalidSignature
    except InvalidSignature:
        raise ProtocolError(f"a signature of {who} does not fit what it is said to sign") from None


def state(kind: str, **about: object) -> bytes:
    """A statement to sign: the same bytes for the same content."""
    return json.dumps({"kind": kind, **about}, sort_keys=True).encode()


def _statement(job: str, site: str, public: bytes) -> bytes:
    return state("key", job=job, site=site, public=public.hex())


def _certificate_of(announcement: Announcement, root: Certificate) -> Certificate:
    site = announcement.site
    try:
        certificate = load_pem_x509_certificate(announcement.certificate)
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        raise ProtocolError(f"the certificate of {site} is not one of this consortium") from None
    names = [each.value for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    now = datetime.now(UTC)
    if names != [site]:
        raise ProtocolError(f"the certificate of {site} is that of {names}")
    if not _is_of_a_site(certificate):
        raise ProtocolError(f"the certificate of {site} is of no site: who holds it has no update to add")
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise ProtocolError(f"the certificate of {site} is not valid now")
    return certificate


def _is_of_a_site(certificate: Certificate) -> bool:
    """Whether a certificate is a site's: a person's says the role, and may not serve as a site does its own jobs."""
    if certificate.subject.get_attributes_for_oid(NameOID.UNSTRUCTURED_NAME):
        return False
    try:
        usages = certificate.extensions.get_extension_for_class(ExtendedKeyUsage).value
    except ExtensionNotFound:  # of an earlier kit
        return True
    return ExtendedKeyUsageOID.SERVER_AUTH in usages


def shares_of(coefficients: Mapping[str, float], members: Iterable[str]) -> dict[str, float]:
    """What each member counts for in the sum, as a share of all; empty where nothing counts."""
    own = {site: coefficients[site] for site in members}
    total = sum(own.values())
    return {site: value / total for site, value in own.items()} if total > 0 else {}
