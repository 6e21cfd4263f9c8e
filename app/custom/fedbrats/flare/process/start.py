"""Starts FLARE's process of a kit, or says in one sentence why it cannot, and ends with a status for a supervisor.

A kit's `startup/sub_start.sh` runs `python3 -m fedbrats.flare.process.start nvflare.private...server_train -m KIT ...`;
with `--check KIT` nothing is started. SIGINT ends the process in seconds: a site tells the server that it leaves.
"""

from __future__ import annotations

import fcntl
import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from fedbrats.account import name_the_account
from fedbrats.flare.process.obstacles import find_obstacles
from fedbrats.flare.process.statuses import TAKEN

LOCK_FILE = "instance.lock"
LEAVE_S = 3.0  # to tell the server; it may be away
CHECK = "--check"


def main(arguments: list[str]) -> int:
    """Check a kit, or start its participant; returns a status of fedbrats.flare.process.statuses."""
    checking = arguments[0] == CHECK
    module, *words = arguments
    kit = Path(words[0] if checking else words[words.index("-m") + 1])
    lock = take(kit)
    if lock is None:
        say(kit, f"another process of this machine runs this kit already (its number is in {LOCK_FILE})", "ERROR")
        return TAKEN
    with lock:
        if (status := _check(kit)) or checking:
            return status
        _leave_when_interrupted(kit, site="client" in module)
        if "client" in module:
            _hear_the_server(kit)
        sys.argv = [module, *words]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


def _check(kit: Path) -> int:
    """Say everything that is in the way; returns the first status that keeps the participant from starting."""
    name_the_account()
    statuses = []
    for obstacle in find_obstacles(kit):
        say(kit, f"{obstacle.sentence}; {obstacle.remedy}", "ERROR")
        statuses.append(obstacle.status)
    return next((status for status in statuses if status), 0)


def take(kit: Path) -> IO[str] | None:
    """The kit's lock, which the system gives back when this process ends; None where another process has it.

    A kit that cannot be written to gives a lock on nothing: the check says that it cannot.
    """
    try:
        lock = (kit / LOCK_FILE).open("a+")
    except OSError:
        return Path(os.devnull).open()
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def is_running(kit: Path) -> bool:
    """Whether a process of this machine runs a kit; changes nothing."""
    try:
        with (kit / LOCK_FILE).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def say(kit: Path, sentence: str, level: str) -> None:
    """Write a line to the console and to the participant's log, in the form of FLARE's."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now)) + f",{int(now % 1 * 1000):03d}"
    line = f"{stamp} - fedbrats.start - {level} - {sentence}\n"
    sys.stderr.write(line)
    try:
        with (kit / "log.txt").open("a", encoding="utf-8", errors="backslashreplace") as log:
            log.write(line)
    except OSError:
        pass  # what cannot be written is what the sentence says


def _leave_when_interrupted(kit: Path, site: bool) -> None:
    """Let SIGINT end this process: a site says good-bye, so that nobody waits for it; what is kept is always whole.

    The processes of its jobs notice that it is gone, and end by themselves.
    """
    clients: list[Any] = []

    def leave(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        for client in clients:
            farewell = threading.Thread(target=_log_out, args=(client,), daemon=True)
            farewell.start()
            farewell.join(LEAVE_S)
        say(kit, "stopped, as it was asked to", "INFO")
        os._exit(0)

    signal.signal(signal.SIGINT, leave)
    if site:
        from nvflare.private.fed.client.fed_client import FederatedClient

        begin = FederatedClient.start_heartbeat

        def start_heartbeat(client: Any, *args: Any, **kwargs: Any) -> Any:
            clients.append(client)
            return begin(client, *args, **kwargs)

        FederatedClient.start_heartbeat = start_heartbeat


def _hear_the_server(kit: Path) -> None:
    """Let this process, a site's, be told from another of its kit, and hear what the server says of that."""
    from fedbrats.flare.process.connections import name_this_process
    from fedbrats.flare.process.told import ToldByServer, hear_heartbeats, hear_questions

    name_this_process()
    told = ToldByServer(kit)
    hear_heartbeats(told)
    hear_questions(told)


def _log_out(client: Any) -> None:
    """Tell the server that this site leaves; FLARE's own way first aborts what runs, which takes longer."""
    try:
        client.communicator.heartbeat_done = True
        client.logout_client(client.engine.new_context())
    except Exception:  # whatever FLARE raises: the server finds out by itself, later
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
