"""A root, and sites with certificates of it as provisioning makes them: RSA keys, signed by the root."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from fedbrats.privacy.secure.keys import Identity


class Consortium:
    """The root of a consortium, which makes identities."""

    def __init__(self):
        self._key = rsa.generate_private_key(65537, 2048)
        self.root = self._certificate("root", self._key.public_key())

    def identity(self, name: str, common_name: str | None = None, days: int = 30, **person) -> Identity:
        """person: `role` as in the certificate of a person, `usages` in the place of a site's."""
        key = rsa.generate_private_key(65537, 2048)
        certificate = self._certificate(common_name or name, key.public_key(), days, **person)
        return Identity(name, certificate.public_bytes(Encoding.PEM), key)

    def _certificate(self, name, public, days=30, role=None, usages=None):
        now = datetime.now(UTC)
        named = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, name)]
            + ([x509.NameAttribute(NameOID.UNSTRUCTURED_NAME, role)] if role else [])
        )
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
        made = x509.CertificateBuilder(issuer, named, public, x509.random_serial_number())
        made = made.not_valid_before(now - timedelta(days=60)).not_valid_after(now + timedelta(days=days))
        if usages:
            made = made.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        return made.sign(self._key, SHA256())
