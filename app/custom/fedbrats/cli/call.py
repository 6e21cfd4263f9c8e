"""Call a fedbrats command from a script: in a process of its own, so that nothing of it stays."""

from __future__ import annotations

import subprocess
import sys


def call(*words: object) -> str:
    """Run `fedbrats WORDS`, its progress on our standard error; returns its standard output, or exits as it did."""
    command = [sys.executable, "-m", "fedbrats.cli.main", *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout
