"""Who signed a job: one person of the consortium whose role may submit, by their own certificate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedbrats.errors import ConfigurationError
from fedbrats.revoked import REVOKED_FILE, revoked_since

PROJECT_ADMIN = "project_admin"
SUBMITTERS = (PROJECT_ADMIN, "lead")  # the roles that may submit a job


@dataclass(frozen=True)
class Signer:
    """A person as their certificate names them."""

    name: str
    organisation: str
    role: str


def find_signer(app: Path, root_ca: Path) -> Signer:
    """The one person who signed every file and folder of an application.

    FLARE 2.9.0 accepts every certificate of the consortium's root for this, those of hospitals and of the server too,
    and a different one in each folder.

    Args:
        app: the folder of an application, as it was submitted.
        root_ca: the consortium's root certificate, of the kit.

    Raises: ConfigurationError for an application that is unsigned, altered, signed by several or by one who may not.
    """
    from nvflare.lighter.utils import verify_folder_signature_and_get_signers

    whole, signers = verify_folder_signature_and_get_signers(str(app), str(root_ca))
    if not whole or not signers:
        raise ConfigurationError("the job is unsigned, or was altered after it was signed")
    if len(signers) > 1:
        raise ConfigurationError(f"{len(signers)} parties signed folders of the job, and one person must sign all")
    signer = Signer(*signers[0])
    if signer.role not in SUBMITTERS:
        what = f"with the role {signer.role}" if signer.role else "which is no person"
        raise ConfigurationError(
            f"{signer.name}, {what}, signed the job, but only a {' or '.join(SUBMITTERS)} may submit one"
        )
    _check_usages(app)
    return signer


def _check_usages(app: Path) -> None:
    """Refuse a certificate that may serve: those of people cannot. (That of an earlier kit says no usage at all.)"""
    from cryptography.x509 import ExtendedKeyUsage, ExtensionNotFound
    from cryptography.x509.oid import ExtendedKeyUsageOID
    from nvflare.lighter.tool_consts import NVFLARE_SUBMITTER_CRT_FILE
    from nvflare.lighter.utils import load_crt

    certificate = load_crt(str(app / NVFLARE_SUBMITTER_CRT_FILE))
    try:
        usages = certificate.extensions.get_extension_for_class(ExtendedKeyUsage).value
    except ExtensionNotFound:
        return
    if ExtendedKeyUsageOID.SERVER_AUTH in usages:
        raise ConfigurationError("the certificate that signed the job is of a server or a site and of no person")


def check_revoked(app: Path, local_dir: Path) -> None:
    """Refuse an application of which any folder was signed with a certificate that the kit's list revokes.

    Raises: ConfigurationError; also where the list is there and cannot be read.
    """
    from cryptography.x509 import load_pem_x509_certificates
    from nvflare.lighter.tool_consts import NVFLARE_SUBMITTER_CRT_FILE
    from nvflare.lighter.utils import load_crt

    root = load_crt(str(local_dir.parent / "startup" / "rootCA.pem"))
    for path in sorted(app.rglob(NVFLARE_SUBMITTER_CRT_FILE)):
        for certificate in load_pem_x509_certificates(path.read_bytes()):
            if since := revoked_since(certificate, local_dir, root):
                raise ConfigurationError(
                    f"the certificate that signed the job was revoked on {since:%F} (local/{REVOKED_FILE}); its owner "
                    f"needs a new kit"
                )
