"""Certificates that say what their key is for: a server's and a site's to connect and be connected to, a person's to
log in and to sign."""

from __future__ import annotations

from typing import Any

from cryptography.x509 import BasicConstraints, ExtendedKeyUsage, ExtensionType, KeyUsage
from cryptography.x509.oid import ExtendedKeyUsageOID
from nvflare.lighter.entity import Project
from nvflare.lighter.impl.cert import CertBuilder
from nvflare.lighter.spec import ProvisionContext


class UsageCertBuilder(CertBuilder):
    """FLARE's CertBuilder, with the usages that `nvflare cert approve` writes and CertBuilder of 2.9.0 leaves out.

    Where a certificate names no usage, FLARE takes it for every one. A server's and a site's serve and connect, for
    both have an internal port too; a person's connects and signs. Certificates of an earlier build stay as they are
    until they are renewed.

    Args:
        root_valid_days: as in CertBuilder.
    """

    def initialize(self, project: Project, ctx: ProvisionContext) -> None:
        """Hold root_valid_days against a root whose key lies apart too, which CertBuilder leaves out."""
        super().initialize(project, ctx)
        if project.root_private_key:
            self._validate_existing_root_validity()

    @staticmethod
    def _generate_cert(*args: Any, ca: bool = False, role: str | None = None, **more: Any) -> Any:
        """What FLARE calls for the root and for every participant; only people have a role."""
        extensions = None if ca else usages(person=role is not None)
        return CertBuilder._generate_cert(*args, ca=ca, role=role, extra_extensions=extensions, **more)


def usages(*, person: bool) -> list[tuple[ExtensionType, bool]]:
    """(extension, whether it is critical) of a participant's certificate."""
    key_usage = KeyUsage(
        digital_signature=True,
        content_commitment=person,
        key_encipherment=not person,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    ways = [ExtendedKeyUsageOID.CLIENT_AUTH, *([] if person else [ExtendedKeyUsageOID.SERVER_AUTH])]
    return [(BasicConstraints(ca=False, path_length=None), True), (key_usage, True), (ExtendedKeyUsage(ways), False)]
