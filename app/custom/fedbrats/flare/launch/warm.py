"""A process that has imported what jobs need, waits, and forks every job process of a workstation's participants.

    python -m fedbrats.flare.launch.warm FOLDER_OF_KITS

A forked process has its modules at once and shares their memory. It begins as one that FLARE starts: with the
participant's environment, streams and folder, in a session of its own, with FLARE's main function and the kit's own
rules; nothing of another job is in it. What makes that safe: this process has one thread, computes nothing, touches no
GPU, opens no connection but the local socket, and listens to processes of the same user alone.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import os
import random
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fedbrats.flare.kit.policy import ALLOWED_CLASSES
from fedbrats.flare.launch.address import MOST_BYTES, Ended, Request, Started, is_own_user, listen

MAINS = ("nvflare.private.fed.app.client.worker_process", "nvflare.private.fed.app.server.runner_process")
# What a job imports when it begins, and what a first step of training or a first round does.
LATER = ("fedbrats.model.training.trainer", "torch._dynamo", "torch.utils.tensorboard")
MODULES = (*MAINS, *sorted({name.rpartition(".")[0] for name in ALLOWED_CLASSES}), *LATER)
REQUEST_S = 5.0  # a launcher sends its request as soon as it is connected
UMASK = 0o077  # as in a kit's start script


def main() -> int:
    """Listen, import, and fork until somebody ends this process."""
    listener = listen(Path(sys.argv[1]))  # before the imports: who asks meanwhile waits
    for name in MODULES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a forked process then writes to none of this memory
    if threads := _threads_after_fork():
        sys.stderr.write(f"not forking: {threads} threads run beside the first\n")
        return 1
    WarmProcess(listener).serve()
    return 0


class WarmProcess:
    """Forks on request, and tells every launcher how its process ended."""

    def __init__(self, listener: socket.socket):
        self._listener = listener
        self._waiting: dict[int, socket.socket] = {}  # by the number of a job process
        self._selector = selectors.DefaultSelector()
        self._wakeup, self._woken = socket.socketpair()
        for end in (self._wakeup, self._woken):
            end.setblocking(False)

    def serve(self) -> None:
        """Serve until a signal ends the process."""
        signal.signal(signal.SIGCHLD, lambda *_: None)  # so that the end of a child wakes the selector
        signal.set_wakeup_fd(self._woken.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    with contextlib.suppress(BlockingIOError):
                        self._wakeup.recv(4096)
            self._reap()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(REQUEST_S)
        streams: list[int] = []
        try:
            content, streams, _, _ = socket.recv_fds(connection, MOST_BYTES, 3)
            if not is_own_user(connection) or len(streams) != 3:
                raise ConnectionError("a request must come from this user, with three streams")
            request = Request.model_validate_json(content)
            if _is_closed(connection):
                raise ConnectionError("the launcher has given up")
            pid = os.fork()
            if pid == 0:
                self._leave(connection)
                _run(request, streams)
            self._waiting[pid] = connection
            _send(connection, Started(pid=pid))
        except (OSError, ValidationError) as error:
            sys.stderr.write(f"request refused: {error}\n")
            sys.stderr.flush()
            connection.close()
        finally:
            for stream in streams:
                os.close(stream)

    def _reap(self) -> None:
        while self._waiting:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            connection = self._waiting.pop(pid)
            _send(connection, Ended(status=os.waitstatus_to_exitcode(status)))
            connection.close()

    def _leave(self, connection: socket.socket) -> None:
        """In the forked process: keep nothing of this one's signals and sockets."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for end in (self._listener, self._wakeup, self._woken, connection, *self._waiting.values()):
            end.close()


def _run(request: Request, streams: Sequence[int]) -> None:
    """In the forked process: become the process that was asked for, run it and end."""
    status = 1
    try:
        _become(request, streams)
        status = _main(request)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _become(request: Request, streams: Sequence[int]) -> None:
    os.setsid()
    os.umask(UMASK)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request.environment)
    os.chdir(request.folder)
    sys.path += [folder for folder in request.search_path if folder not in sys.path]
    sys.argv = ["", *request.command[3:]]
    show_command(request.command)
    os.getppid = lambda: request.parent  # FLARE ends a job when this process is gone
    import numpy as np
    from nvflare.fuel.f3.streaming import stream_utils

    np.random.seed()  # the others, of Python, PyTorch and OpenSSL, see to that themselves
    stream_utils.sid_base = time.time_ns() // 1000 + random.randrange(10**6)  # a process's own, drawn at its import


def _main(request: Request) -> int:
    """What FLARE's module does as a program, without its pause of three seconds before the end."""
    from nvflare.fuel.f3.mpm import MainProcessMonitor

    name = request.command[2]
    if request.command[1] != "-m" or name not in MAINS:
        raise ValueError(f"{name} is no main function of a job process")
    module: Any = importlib.import_module(name)
    args = module.parse_arguments()
    folder = os.path.join(args.workspace, args.job_id)
    return MainProcessMonitor.run(main_func=module.main, run_dir=folder, args=args, shutdown_grace_time=0.0) or 0


def show_command(command: Sequence[str]) -> None:
    """Let `ps` show this command for this process, by writing over the words that it was started with."""
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    begin, end = int(fields[45]), int(fields[46])  # proc(5): arg_start, arg_end
    words = b"\0".join(os.fsencode(word) for word in command)[: end - begin - 1]
    ctypes.memset(begin, 0, end - begin)
    ctypes.memmove(begin, words, len(words))


def _threads_after_fork() -> int:
    """Threads beside this one, when libraries have stopped theirs, as they do before every fork."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return len(os.listdir("/proc/self/task")) - 1


def _is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False


def _send(connection: socket.socket, answer: Started | Ended) -> None:
    with contextlib.suppress(OSError):  # a launcher that has ended asks for nothing any more
        connection.send(answer.model_dump_json().encode())


if __name__ == "__main__":
    sys.exit(main())
