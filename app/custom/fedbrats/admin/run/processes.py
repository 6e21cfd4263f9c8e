"""The processes of FLARE participants on this machine: their environment, and how they are found and ended."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import sys
import time
from collections.abc import Collection
from pathlib import Path

import psutil

from fedbrats.admin.provision.start_script import ENVIRONMENT
from fedbrats.flare.launch.address import WARM_MODULE

STOP_S = 60.0
FLARE_MODULE = "nvflare."  # a path may have the word too, so an editor or `fedbrats stop` itself may name it
SERVER_PORTS = range(20000, 32000)
DAEMON = "sub_start.sh"  # start.sh leaves this loop behind, which starts its participant again
PROCESS_FILES = ("pid.fl", "daemon_pid.fl", "shutdown.fl", "restart.fl")  # in a kit: notes of its loop


def participant_environment() -> dict[str, str]:
    """The environment of a participant: of ours what a kit's start script lets through, this interpreter first on the
    path, and no threads beside the site's own choice."""
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # five sites share the cores: a waiting thread must not spin
    environment.pop("NVFL_WORKSPACE", None)
    return environment


def find_processes(*folders: Path) -> list[psutil.Process]:
    """Return the live FLARE processes that name something in these folders on their command line, daemons first.

    The process that forks those of jobs is one of them, where the folders hold all kits of its POC.

    A folder is a kit, or one that holds kits. FLARE starts a job's processes in sessions of their own, so neither
    parent nor process group finds them all.
    """
    roots = {str(folder.resolve()) for folder in folders}  # of a kit itself: FLARE says `-m KIT` and no more
    markers = tuple(f"{root}{os.sep}" for root in roots)
    daemons, others = [], []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if not any(word in roots or word.startswith(markers) for word in words):
            continue
        if any(word.endswith(DAEMON) for word in words):
            daemons.append(process)
        elif any(word.startswith(FLARE_MODULE) for word in words) or WARM_MODULE in words:
            others.append(process)
    return daemons + others


def is_running(*folders: Path) -> bool:
    """Whether a participant of these folders' kits lives, or a process of a job."""
    return any(WARM_MODULE not in process.info["cmdline"] for process in find_processes(*folders))


def stop(*folders: Path, spare: Collection[psutil.Process] = ()) -> int:
    """End every FLARE process of these folders' kits but those to spare, job processes too; returns how many."""
    ended: set[int] = set()
    deadline = time.monotonic() + STOP_S
    while time.monotonic() < deadline:  # what is ended may have started another meanwhile
        processes = [process for process in find_processes(*folders) if process not in spare]
        if not processes:
            break
        ended.update(process.pid for process in processes)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        _, alive = psutil.wait_procs(processes, timeout=5)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=5)
    return len(ended)


def free_port() -> int:
    """A TCP port that nothing on this machine listens on.

    It is below those that systems give to outgoing connections (from 32768 on Linux), for the server binds it seconds
    later, and a connection of somebody else's could have it by then.
    """
    for port in random.sample(SERVER_PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
