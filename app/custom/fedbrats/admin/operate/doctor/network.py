"""The one connection that a kit makes: outbound, to the server's port, with both sides' certificates."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from fedbrats.admin.kits import Kit
from fedbrats.admin.operate.doctor.finding import (
    HOSPITAL_IT,
    PROJECT_ADMIN,
    Finding,
    failed,
    good,
)
from fedbrats.revoked import revoked_since

TIMEOUT_S = 10.0


def check(kit: Kit) -> Iterator[Finding]:
    """Connect, shake hands with the kit's own certificate, and hear the server's first word."""
    host, _, port = kit.server.rpartition(":")
    try:
        connection = socket.create_connection((host, int(port)), timeout=TIMEOUT_S)
    except socket.gaierror as error:
        yield failed("server", f"{host} has no address: {error}", "let this name resolve (DNS)", HOSPITAL_IT)
        return
    except OSError as error:
        remedy = (
            f"allow outbound TCP to {kit.server}, and ask the project admin whether the server is up. This host and "
            f"port are the kit's: they must be those of project.yml, and of `fedbrats doctor` at the server"
        )
        yield failed("server", f"{kit.server} cannot be reached: {error}", remedy, HOSPITAL_IT)
        return
    with connection:
        yield _shake_hands(kit, connection, host)


def _shake_hands(kit: Kit, connection: socket.socket, host: str) -> Finding:
    from cryptography.x509 import load_der_x509_certificate

    context = ssl.create_default_context(cafile=str(kit.startup_dir / "rootCA.pem"))
    # FLARE's roots carry no key usage that OpenSSL's strict mode of Python 3.13 asks for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["h2"])
    try:
        context.load_cert_chain(kit.startup_dir / "client.crt", kit.startup_dir / "client.key")
        with context.wrap_socket(connection, server_hostname=host) as channel:
            # In TLS 1.3 the server judges our certificate after the handshake: only its answer tells.
            if not channel.recv(1):
                raise ConnectionResetError("the server closed the connection")
            theirs = load_der_x509_certificate(channel.getpeercert(binary_form=True) or b"")
            if since := revoked_since(theirs, kit.local_dir, kit.root):
                remedy = "somebody may have stolen the server's key: do not start"
                return failed("server", f"its certificate was revoked on {since:%F}", remedy, PROJECT_ADMIN)
    except ssl.SSLCertVerificationError as error:
        remedy = "this is not the consortium's server, or something on the way opens TLS; do not go on"
        return failed("server", f"its certificate is refused: {error.verify_message}", remedy, HOSPITAL_IT)
    except OSError as error:
        remedy = "the server refuses this kit: ask for a new one"
        return failed("server", f"the TLS handshake failed: {error}", remedy, PROJECT_ADMIN)
    return good("server", f"{kit.server} answers, both certificates accepted")
