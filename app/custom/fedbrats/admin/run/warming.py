"""The process of a POC that has imported what jobs need, and forks their processes (fedbrats/flare/launch/warm.py)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedbrats.admin.run.processes import participant_environment
from fedbrats.flare.launch.address import connect, warm_command

LOG = "warm.log"  # beside the kits


def can_fork(site_facts: Mapping[str, Any]) -> bool:
    """Whether the job processes of a POC with these entries in its site files can be forked."""
    from fedbrats.flare.launch.launcher import computes_on_gpu

    return sys.platform == "linux" and not computes_on_gpu(site_facts.get("device", "auto"))


def is_asked(kit: Path) -> bool:
    """Whether a participant would have its jobs forked."""
    from fedbrats.flare.launch.launcher import why_not_forked

    return why_not_forked(kit) is None


def start(kits: Path) -> subprocess.Popen[bytes] | None:
    """Start the process for the kits in a folder, unless one is there; returns it at once, while it imports."""
    connection = connect(kits)
    if connection:
        connection.close()
        return None
    environment = {**participant_environment(), "PYTHONSAFEPATH": "1", "CUDA_VISIBLE_DEVICES": ""}
    with (kits / LOG).open("ab") as log:
        return subprocess.Popen(
            warm_command(kits),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            cwd=kits,
        )
