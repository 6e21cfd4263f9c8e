"""What the commands of the simulated experiments have in common: --seeds, --out, and the head of their results."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from fedbrats.atomic import write_json_atomic

RESULTS = Path(__file__).parents[1] / "results"


def run_command(
    name: str, doc: str, measure: Callable[[int], dict[str, Any]], as_markdown: Callable[[dict[str, Any]], str]
) -> int:
    """Write what an experiment measures, with the command and the versions, and print its tables.

    Args:
        name: of the script and of its results.
        doc: the help.
        measure: the entries of the results, given how many seeds there are.
        as_markdown: the tables of the results.

    Returns: the exit status.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="federations a row")
    parser.add_argument("--out", type=Path, default=RESULTS / f"{name}.json")
    args = parser.parse_args()
    document = {
        "command": f"python experiments/{name}.py --seeds {args.seeds}",
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__},
        **measure(args.seeds),
    }
    write_json_atomic(args.out, document)
    print(as_markdown(document))
    return 0
