"""The local socket between a participant's launcher and the warm process, and what goes over it.

One message asks for a job process: a `Request`, with the three standard streams of the participant beside it. Two
answers come back: the number of the new process, and its exit status when it has ended. Linux only.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

SOCKET = "warm.sock"  # in the folder that holds the kits
MOST_BYTES = 2**17  # of a message: the environment of a process is most of it
WARM_MODULE = "fedbrats.flare.launch.warm"
ROOM = "." * 4096  # the last word of the warm process's command line: room for that of a job


class Request(BaseModel):
    """A job process as a launcher wants it; it begins like one that FLARE starts itself.

    Attributes:
        command: of a process that FLARE would start: Python, -m, a module of FLARE, its arguments.
        environment: all of the new process's environment, with FLARE's credentials for the job.
        search_path: folders in which its modules are looked for, after those of the warm process.
        folder: the current folder.
        parent: the participant's process; the job ends when that one has ended.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: list[str]
    environment: dict[str, str]
    search_path: list[str]
    folder: str
    parent: int


class Started(BaseModel):
    """The first answer: the number of the new process."""

    pid: int


class Ended(BaseModel):
    """The second answer: its exit status, negative for the signal that ended it."""

    status: int


def warm_command(kits: Path) -> list[str]:
    """The command that starts a warm process for the kits in a folder."""
    return [sys.executable, "-m", WARM_MODULE, str(kits), ROOM]


@contextlib.contextmanager
def socket_path(folder: Path) -> Iterator[str]:
    """A path of the socket in a folder that is short enough for a socket, however long the folder's own is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)


def listen(folder: Path) -> socket.socket:
    """The listening end in a folder, for this user alone; one that a process left behind is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with socket_path(folder) as path:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        mask = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(mask)
    listener.listen(64)
    return listener


def connect(folder: Path) -> socket.socket | None:
    """The other end; None where nobody listens there, or somebody else than this user."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with socket_path(folder) as path:
            connection.connect(path)
        if is_own_user(connection):
            return connection
    except OSError:
        pass
    connection.close()
    return None


def is_own_user(connection: socket.socket) -> bool:
    """Whether a process of this user is at the other end, by the kernel's word."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", found)[1] == os.getuid())
