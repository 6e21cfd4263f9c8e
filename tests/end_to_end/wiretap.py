"""A wiretap in the server's own kit: every byte that reaches the server's process goes to a file, headers too.

It lies in `local/custom` and `local/resources.json` of the server, where a server's operator could put it, so that it
sees what such a person could see.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

HEARD = "heard.bin"
MODULE = """
import threading
from pathlib import Path

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent


class Wiretap(FLComponent):
    def __init__(self):
        super().__init__()
        self._path = Path(__file__).parents[2] / "heard.bin"
        self._lock = threading.Lock()

    def handle_event(self, event_type, fl_ctx):
        if event_type == EventType.SYSTEM_START:
            fl_ctx.get_engine().get_cell().core_cell.add_incoming_filter("*", "*", self._hear)

    def _hear(self, message):
        payload = message.payload
        if not isinstance(payload, (bytes, bytearray, memoryview)):
            payload = repr(payload).encode()
        with self._lock, self._path.open("ab") as stream:
            stream.write(repr(message.headers).encode() + bytes(payload))
"""


def tap(kit: Path) -> None:
    """Put the wiretap into a server's kit, before it starts."""
    custom = kit / "local" / "custom"
    custom.mkdir()
    (custom / "wiretap.py").write_text(MODULE)
    resources = json.loads((kit / "local" / "resources.json.default").read_text())
    resources["components"].append({"id": "wiretap", "path": "wiretap.Wiretap", "args": {}})
    (kit / "local" / "resources.json").write_text(json.dumps(resources))


def everything_in(*folders: Path) -> Iterator[tuple[str, bytes]]:
    """Every file in these folders, archives opened however deep: (name, content)."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                yield from _open(str(path), path.read_bytes())


def _open(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    yield name, content
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.namelist():
                yield from _open(f"{name}/{entry}", archive.read(entry))
