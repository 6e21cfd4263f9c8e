"""A proxy between a site and the server that cuts the connection after so many bytes of the site's."""

from __future__ import annotations

import contextlib
import socket
import threading


class Cutter:
    """Passes on what a site and the server say; once it is armed, it cuts in the middle of what the site says.

    Attributes:
        port: where the site finds it.
        cuts: how often it has cut.
    """

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._lock = threading.Lock()
        self._left: int | None = None
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, after_bytes: int) -> None:
        """Cut after so many bytes more from the site, whichever of its connections has the last of them."""
        with self._lock:
            self._left = after_bytes

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                site, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:  # it does not listen yet: the site tries again
                site.close()
                continue
            for source, sink, is_site in ((site, server, True), (server, site, False)):
                threading.Thread(target=self._pass_on, args=(source, sink, is_site), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, is_site: bool) -> None:
        try:
            while data := source.recv(4096):
                keep, cut = self._measure(data) if is_site else (data, False)
                sink.sendall(keep)
                if cut:
                    break
        except OSError:
            pass
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _measure(self, data: bytes) -> tuple[bytes, bool]:
        """What still passes, and whether the connection is cut after it."""
        with self._lock:
            if self._left is None:
                return data, False
            if len(data) < self._left:
                self._left -= len(data)
                return data, False
            keep, self._left = data[: self._left], None
            self.cuts += 1
            return keep, True
