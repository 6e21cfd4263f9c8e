"""Serves one page that is made anew again and again; no request changes anything."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fedbrats.admin.kits import Kit
from fedbrats.errors import ConfigurationError
from fedbrats.revoked import revoked_since

LOOPBACK = "127.0.0.1"
IDLE_S, LONGEST_S = 15.0, 60.0  # for which a connection may say nothing, and may last
MOST_VISITORS = 32  # connections at once
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


class PageServer(ThreadingHTTPServer):
    """One page, for whoever reaches the port under one of the names of its machine.

    Without TLS the page's path is a secret that this server draws: every account of a machine reaches its loopback.
    With TLS it is `/`, and a visitor's certificate is asked for. A page of another origin that had its own name lead to
    this machine (DNS rebinding) is refused by its `Host`.

    Args:
        host: the address to listen on.
        port: 0 for any that is free.
        hosts: names beside those of the loopback under which it may be asked.
        tls: where the page is for other machines.
        is_revoked: whether the certificate of a visitor (DER) counts no more.

    Attributes:
        path: of the page.
    """

    daemon_threads = True
    request_queue_size = 2 * MOST_VISITORS

    def __init__(
        self,
        host: str,
        port: int,
        hosts: Iterable[str] = (),
        tls: ssl.SSLContext | None = None,
        is_revoked: Callable[[bytes], bool] = lambda certificate: False,
    ):
        super().__init__((host, port), _Handler)
        self.path = "/" if tls else f"/{secrets.token_urlsafe(16)}"
        self.is_revoked = is_revoked
        self._places = threading.BoundedSemaphore(MOST_VISITORS)
        names = {"localhost", LOOPBACK, "[::1]", *hosts}
        self.hosts = {name.lower() for each in names for name in (each, f"{each}:{self.server_port}")}
        self.page = ""
        if tls is not None:  # the handshake is the handler's, so that one who is silent keeps nobody waiting
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def keep_fresh(self, look: Callable[[], str], every_s: float) -> None:
        """Make the page again and again until this is interrupted. Raises: whatever `look` raises.

        A visitor who comes before the first page is there waits for it.
        """
        self.page = look()
        threading.Thread(target=self.serve_forever, daemon=True).start()
        try:
            while True:
                time.sleep(every_s)
                self.page = look()
        finally:
            self.shutdown()
            self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a visitor in a thread; one who comes while all places are taken is sent away."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """As ThreadingHTTPServer; nobody keeps a place for longer than LONGEST_S, however slowly they speak."""
        end = threading.Timer(LONGEST_S, _hang_up, args=(request,))
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._places.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A visitor who goes away, or has no certificate, is no error of ours."""


def _hang_up(request: socket.socket) -> None:
    with contextlib.suppress(OSError):
        socket.socket.shutdown(request, socket.SHUT_RDWR)  # of the connection itself, with TLS too


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD; FLARE has no part in it, and every other method has no answer."""

    server: PageServer
    timeout = IDLE_S
    server_version, sys_version = "fedbrats", ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        if self.headers.get("Host", "").lower() not in self.server.hosts:
            self.send_error(421, "this page is not of that host")
        elif not secrets.compare_digest(self.path.encode(), self.server.path.encode()):
            self.send_error(404)
        elif self._is_revoked():
            self.send_error(403, "this certificate was revoked")
        else:
            page = self.server.page
            body = page.encode("utf-8")
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers_of(page).items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    def _is_revoked(self) -> bool:
        if not isinstance(self.connection, ssl.SSLSocket):
            return False
        return self.server.is_revoked(self.connection.getpeercert(binary_form=True) or b"")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: what a visitor asks for is theirs."""


def headers_of(page: str) -> dict[str, str]:
    """What a browser may do with a page: show it with its own style sheet, and nothing else."""
    styles = [hashlib.sha256(each.encode("utf-8")).digest() for each in _STYLE.findall(page)]
    allowed = " ".join(f"'sha256-{base64.b64encode(each).decode()}'" for each in styles) or "'none'"
    policy = (
        f"default-src 'none'; style-src {allowed}; img-src data:; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


def tls_of(kit: Kit) -> ssl.SSLContext:
    """TLS with a kit's own certificate, for visitors who have a certificate of the consortium. Raises: OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    name = "server" if kit.kind == "server" else "client"
    context.load_cert_chain(kit.startup_dir / f"{name}.crt", kit.startup_dir / f"{name}.key")
    context.load_verify_locations(kit.startup_dir / "rootCA.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def is_revoked_in(kit: Kit) -> Callable[[bytes], bool]:
    """Whether a kit's list of revoked certificates names one (DER); every one where the list cannot be read."""
    from cryptography.x509 import load_der_x509_certificate

    def is_revoked(certificate: bytes) -> bool:
        try:
            return revoked_since(load_der_x509_certificate(certificate), kit.local_dir, kit.root) is not None
        except (ConfigurationError, ValueError):
            return True

    return is_revoked
