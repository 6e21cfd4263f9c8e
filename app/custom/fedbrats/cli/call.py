"""Call a fedbrats command from a script: in a process of its own, so that nothing of it stays."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

END_S = 90.0  # for a command that is interrupted


def call(*words: object) -> str:
    """Run `fedbrats WORDS`, its progress on our standard error; returns its standard output, or exits as it did."""
    with started(*words) as finish:
        return finish()


@contextmanager
def started(*words: object) -> Iterator[Callable[[], str]]:
    """Run `fedbrats WORDS` beside what the block does; yields what waits for it, as `call` does, and must be called.

    The command is stopped where the block fails.
    """
    command = [sys.executable, "-m", "fedbrats.cli.main", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:

        def finish() -> str:
            said, _ = process.communicate()
            if process.returncode:
                sys.exit(process.returncode)
            return said

        try:
            yield finish
        except BaseException as error:  # it stops what it has started, which takes its time
            if not isinstance(error, KeyboardInterrupt):  # Ctrl-C reaches every process of a terminal
                process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
            process.kill()
            raise
