"""What of a machine would let a federation on it fail late: asked, or set right, before anything starts."""

from __future__ import annotations

import os
import re
import socket
import sys
from pathlib import Path

from fedbrats.errors import ConfigurationError

OWN_ADDRESSES = ("localhost", "127.0.0.1", "::1", "server")
PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")  # as gRPC asks, each in lower case alone
_DIVIDES = re.compile(r"[\s'\"\\#]")  # a command line, as shlex splits it
EXCEPTIONS = ("no_grpc_proxy", "no_proxy")
LONGEST_PATH = 180  # of a workspace: FLARE adds some 70 to it, and a socket's path may have 108, a file's 4096


def check_place(workspace: Path) -> None:
    """Raise ConfigurationError for a workspace, or a Python, whose path FLARE would divide.

    FLARE 2.9.0 puts both into one command line, which it splits at blanks and quotes: the processes of a job then end
    at once, and only a log says why.
    """
    place = workspace.resolve()
    for what, path in (("the workspace", place), ("this Python", Path(sys.executable))):
        if _DIVIDES.search(str(path)):
            raise ConfigurationError(
                f"{what} {str(path)!r} has a space, a quote or a # in its path, which FLARE cannot start a job's "
                f"processes with; choose a folder without"
            )
    if len(str(place)) > LONGEST_PATH:
        raise ConfigurationError(
            f"the workspace {place} has a path of {len(str(place))} characters, expected at most {LONGEST_PATH}; "
            f"choose a shorter one"
        )


def check_own_address() -> None:
    """Raise ConfigurationError where `localhost`, where one workstation's processes meet, is not this machine."""
    try:
        with socket.create_server(("localhost", 0)):
            return
    except OSError as error:
        raise ConfigurationError(
            "the name localhost is no address of this machine, where the server and the sites of one workstation meet; "
            "write '127.0.0.1 localhost' into /etc/hosts"
        ) from error


def pass_by_proxy() -> None:
    """Let this process and its children reach this machine's own addresses without a proxy, whatever is set for others.

    gRPC asks a proxy even for localhost unless `no_grpc_proxy` or `no_proxy` names it.
    """
    for name in (*EXCEPTIONS, "NO_PROXY"):
        known = [word for word in os.environ.get(name, "").split(",") if word]
        os.environ[name] = ",".join(dict.fromkeys([*known, *OWN_ADDRESSES]))


def proxies_set() -> list[str]:
    """The variables that send FLARE connections through a proxy, where no exception is named."""
    excepted = any(os.environ.get(name) for name in EXCEPTIONS)
    return [] if excepted else [name for name in PROXIES if os.environ.get(name)]
