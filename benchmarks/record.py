"""What every results file of a benchmark holds: its command, day, machine and versions, and targets met or missed."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fedbrats.atomic import write_json_atomic
from fedbrats.cli.output import print_table

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("fedbrats", "nvflare", "torch", "monai", "numpy")


@dataclass(frozen=True)
class Target:
    """A number that should be at most (or, where `at_least`, at least) the target."""

    name: str
    target: float
    value: float | None
    at_least: bool = False

    @property
    def met(self) -> bool:
        """A number that was not reached is not met."""
        if self.value is None:
            return False
        return self.value >= self.target if self.at_least else self.value <= self.target


def write(out: Path, targets: Sequence[Target], numbers: Mapping[str, Any]) -> int:
    """Write a results file and show the targets; returns the exit status, 1 where one is missed."""
    document = {
        "command": shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *map(plain, sys.argv[1:])]),
        "day": datetime.now(UTC).date().isoformat(),
        "machine": {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()},
        "versions": {name: version(name) for name in PACKAGES},
        "targets": [{**asdict(each), "met": each.met} for each in targets],
        **numbers,
    }
    write_json_atomic(out, document)
    columns = ("target", "", "value", "met")
    rows = [
        (each.name, f"{'at least' if each.at_least else 'at most'} {each.target:g}",
         "-" if each.value is None else f"{each.value:.4g}", "yes" if each.met else "NO")
        for each in targets
    ]  # fmt: skip
    print_table(columns, rows, title=str(out))
    return 0 if all(each.met for each in targets) else 1


def plain(word: str) -> str:
    """A word of the command without this machine's folders."""
    return Path(word).name.upper() if "/" in word and not word.startswith("--") else word
