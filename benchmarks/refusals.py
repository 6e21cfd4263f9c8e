"""How long a refusal takes: classes of one's own that cannot run, from the command to its sentence.

    python benchmarks/refusals.py

Prints the sentences of docs/guide/own-method.md with their seconds, of a processor, user and system, because
a busy machine makes the clock's longer; a refusal works on one core.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from fedbrats.cli.main import main as fedbrats
from fedbrats.report.markdown import markdown_table

BAD_HOOKS = Path(__file__).parents[1] / "tests" / "extensions" / "bad_hooks.py"
SOURCE = '''
from typing import Annotated

import numpy as np
from pydantic import Field

from fedbrats.methods.fedavg import WeightedFedAvg


class NoMethod:
    """Is of no kind."""


class Momentum(WeightedFedAvg):
    """Has an argument."""

    def __init__(self, momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9):
        super().__init__()


class Unkept(WeightedFedAvg):
    """Keeps what cannot be kept."""

    def state(self):
        return {"rng": np.random.default_rng(0)}
'''
CASES = {
    "a class of no installed package": "aggregator=subprocess.Popen",
    "a class of another kind": "aggregator=mine.NoMethod",
    "an argument out of bounds": "aggregator=mine.Momentum aggregator.momentum=2",
    "a method whose state cannot be saved": "aggregator=mine.Unkept",
    "a hook that raises in a round": "hooks=mine.Raising",
    "a hook that gives NaN": "hooks=mine.Lost",
    "a hook that says too much": "hooks=mine.Loud",
    "a hook whose state cannot be saved": "hooks=mine.Forgetful",
    "a hook that raises in a step": "hooks=mine.Breaking",
    "a hook that raises in a step, another network": "hooks=mine.Breaking network=tiny",
    "a hook that asks something of its network": "hooks=mine.Layered",
}


def main() -> None:
    """Measure every case and print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install(folder / "site")
        fedbrats(["phantom", str(folder / "sites"), "--sites", "2", "--cases", "3", "--spacing-mm", "4"])
        refuse(folder, "nothing=1")  # the first one writes Python's compiled files
        rows = [(case, *refuse(folder, words)) for case, words in CASES.items()]
    print(markdown_table(["case", "what is said", "seconds"], [[a, b, f"{c:.1f}"] for a, b, c in rows]))


def install(site: Path) -> None:
    """A package `mine`, as pip leaves it."""
    (site / "mine").mkdir(parents=True)
    (site / "mine" / "__init__.py").write_text(SOURCE + BAD_HOOKS.read_text())
    about = site / "mine-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (about / "RECORD").write_text("mine/__init__.py,,\n")


def refuse(folder: Path, words: str) -> tuple[str, float]:
    """(the sentence, seconds of the processor) of a simulation that does not start."""
    command = [sys.executable, "-m", "fedbrats.cli.main", "simulate", "fedavg", "--data", str(folder / "sites")]
    command += [word for each in words.split() for word in ("--set", each)]
    before = os.times()
    environment = {**os.environ, "PYTHONPATH": str(folder / "site"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    after = os.times()
    assert done.returncode == 2, done.stderr
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    return done.stderr.strip().splitlines()[-1].removeprefix("fedbrats: "), seconds


if __name__ == "__main__":
    main()
