"""What would keep a participant from working, in a sentence each: asked before a start, and by `fedbrats doctor`."""

from __future__ import annotations

import errno
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedbrats.errors import ConfigurationError
from fedbrats.flare.process.statuses import CANNOT_WRITE, TAKEN, UNUSABLE
from fedbrats.flare.process.storage import storage_of
from fedbrats.site.site_file import SITE_FILE, read_server_facts, read_site_facts

SERVER_FILE, SITE_STARTUP = "fed_server.json", "fed_client.json"  # in the startup folder of one and of no other
DATALIST = "datalist.json"


@dataclass(frozen=True)
class Obstacle:
    """What is in the way. check: one word for a table; status: with which the process ends, 0 where it starts."""

    check: str
    sentence: str
    remedy: str
    status: int


def find_obstacles(kit: Path, *, port: bool = True) -> Iterator[Obstacle]:
    """Everything in the way of a server's or a site's kit; port: whether the server's has to be free."""
    yield from find_unwritable("kit folder", kit)
    if (kit / "startup" / SERVER_FILE).is_file():
        yield from _server(kit, port)
    elif (kit / "startup" / SITE_STARTUP).is_file():
        yield from _site(kit)


def server_port(kit: Path) -> int:
    """The port on which a server's kit listens. Raises: ConfigurationError."""
    path = kit / "startup" / SERVER_FILE
    try:
        target = json.loads(path.read_text(encoding="utf-8"))["servers"][0]["service"]["target"]
        return int(str(target).rpartition(":")[2])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigurationError(f"{path} does not say on which port to listen: {error!r}") from None


def is_taken(port: int) -> bool:
    """Whether something on this machine listens on a TCP port."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(("", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True  # another error: this machine has no such addresses, or the port is not ours to take
    return False


def _server(kit: Path, port: bool) -> Iterator[Obstacle]:
    local_dir = kit / "local"
    try:
        facts = read_server_facts(local_dir)
        jobs, snapshots = storage_of(local_dir)
        number = server_port(kit)
    except ConfigurationError as error:
        yield Obstacle("settings", str(error), f"mend local/{SITE_FILE}, or take it from the kit again", UNUSABLE)
        return
    for folder in dict.fromkeys((jobs, snapshots, facts.state_dir)):
        yield from find_unwritable(f"storage {folder.name}", folder)
    if port and is_taken(number):
        sentence = f"port {number} is taken: another program of this machine, or another server, listens on it"
        yield Obstacle("port", sentence, f"stop it (`ss -ltnp 'sport = :{number}'` shows it)", TAKEN)


def _site(kit: Path) -> Iterator[Obstacle]:
    local_dir = kit / "local"
    missing = not (local_dir / SITE_FILE).exists()
    try:
        facts = read_site_facts(local_dir, _site_name(kit))
    except ConfigurationError as error:
        remedy = "`fedbrats site KIT --data FOLDER` writes it; or take it from the kit again"
        yield Obstacle("settings", str(error), remedy, 0 if missing else UNUSABLE)
        return
    for folder in (facts.cache_dir, facts.personal_dir):
        yield from find_unwritable(f"folder {folder.name}", folder)
    yield from find_no_data(facts.data_dir)


def _site_name(kit: Path) -> str:
    try:
        return str(json.loads((kit / "startup" / SITE_STARTUP).read_text(encoding="utf-8"))["client"]["fqsn"])
    except (OSError, ValueError, LookupError, TypeError):
        return kit.name


def find_no_data(folder: Path) -> Iterator[Obstacle]:
    """What is wrong with a data folder that has no datalist; a file system that is not mounted leaves it empty."""
    mount = "mount the file system that holds it; else `fedbrats split` makes the folder and `fedbrats site` names it"
    try:
        if (folder / DATALIST).is_file():
            return
        empty = folder.is_dir() and not any(folder.iterdir())
    except OSError as error:
        remedy = "mount it again, and let the service account read it"
        yield Obstacle("data", f"the data folder {folder} cannot be read: {error.strerror or error}", remedy, 0)
        return
    if empty:
        yield Obstacle("data", f"the data folder {folder} is empty: is its file system mounted?", mount, 0)
    elif not folder.is_dir():
        yield Obstacle("data", f"the data folder {folder} is not there: is its file system mounted?", mount, 0)
    else:
        remedy = "`fedbrats split` makes a folder with one; `fedbrats site KIT --data FOLDER` names it"
        yield Obstacle("data", f"the data folder {folder} has no {DATALIST}", remedy, 0)


def find_unwritable(check: str, folder: Path) -> Iterator[Obstacle]:
    """An obstacle where no file can be made in a folder; one that is not there yet is judged by the folder above it."""
    there = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    try:
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        with tempfile.TemporaryFile(dir=there) as probe:
            probe.write(b"x")
    except OSError as error:
        sentence = f"{folder} cannot be written to: {error.strerror or error}"
        remedy = f"let the service account (user {os.getuid()}) write there, and look for a full or read-only disk"
        yield Obstacle(check, sentence, remedy, CANNOT_WRITE)
