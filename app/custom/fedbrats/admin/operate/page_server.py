"""Serves one page that is made anew again and again; no request changes anything."""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from fedbrats.admin.kits import Kit

LOOPBACK = "127.0.0.1"
IDLE_S = 15.0  # for which a connection may say nothing
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


class PageServer(ThreadingHTTPServer):
    """One page at `/`, for whoever reaches the port under one of the names of its machine.

    A page of another origin that had its own name lead to this machine (DNS rebinding) is refused by its `Host`.

    Args:
        host: the address to listen on.
        port: 0 for any that is free.
        hosts: names beside those of the loopback under which it may be asked.
        tls: where the page is for other machines.
    """

    daemon_threads = True

    def __init__(self, host: str, port: int, hosts: Iterable[str] = (), tls: ssl.SSLContext | None = None):
        super().__init__((host, port), _Handler)
        names = {"localhost", LOOPBACK, "[::1]", *hosts}
        self.hosts = {name.lower() for each in names for name in (each, f"{each}:{self.server_port}")}
        self.page = ""
        if tls is not None:  # the handshake is the handler's, so that one who is silent keeps nobody waiting
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def keep_fresh(self, look: Callable[[], str], every_s: float) -> None:
        """Make the page again and again until this is interrupted. Raises: whatever `look` raises."""
        threading.Thread(target=self.serve_forever, daemon=True).start()
        try:
            while True:
                self.page = look()
                time.sleep(every_s)
        finally:
            self.shutdown()
            self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A visitor who goes away, or has no certificate, is no error of ours."""


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
        elif self.path != "/":
            self.send_error(404)
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
