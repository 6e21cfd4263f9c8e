"""A simulation of many sites on one machine: seconds a round and memory.

    python benchmarks/simulation.py                       # 33, 100 and 300 sites, on phantoms it makes itself
    python benchmarks/simulation.py --sites 8 --rounds 2  # to see that it runs

Plain FedAvg of the network `tiny`, one step a site and round, no validation but the last. The sites share the cases of
five phantom sites by links, and take turns on the machine's cores. Writes benchmarks/results/simulation.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import threading
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from record import RESULTS, Target, write

from fedbrats.cli.call import call
from fedbrats.rows import ROWS_FILE, read_rows

ORIGINALS = 5
JOB = {"network": "tiny", "local_steps": 1, "patch_size": [16, 16, 16]}
JOB |= {"validate_received": False, "validate_trained": False, "final_flips": False}
WORKER = "fedbrats.flare.one_process"
LOOK_S = 0.25  # between two looks at the simulation's process
SECONDS_A_ROUND, GIB, MEASURED_AT = 2.0, 3.0, 100


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", nargs="+", type=int, default=[33, 100, 300])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--work", type=Path, default=Path("build/benchmarks/simulation"), help="scratch folder")
    parser.add_argument("--out", type=Path, default=RESULTS / "simulation.json")
    args = parser.parse_args()
    originals = args.work / "originals"
    call("phantom", originals, "--sites", ORIGINALS, "--cases", 4, "--seed", 0, "--force")
    load_before, entries = round(psutil.getloadavg()[0], 1), []
    for count in args.sites:
        entries.append(measure(args, originals, count))
        status = write(args.out, judge(entries), {"entries": entries, "load_before": load_before})
    return status


def judge(entries: Sequence[Mapping[str, Any]]) -> list[Target]:
    """Seconds and memory of a hundred sites, or of the last number of sites where a hundred were not measured."""
    at = next((entry for entry in entries if entry["sites"] == MEASURED_AT), entries[-1])
    return [
        Target(f"round_seconds_of_{at['sites']}_sites", SECONDS_A_ROUND, at["round_seconds"]),
        Target(f"peak_gib_of_{at['sites']}_sites", GIB, at["peak_gib"]),
    ]


def measure(args: argparse.Namespace, originals: Path, count: int) -> dict[str, Any]:
    """One simulation of so many sites."""
    data = args.work / f"{count}-sites"
    shutil.rmtree(data, ignore_errors=True)
    for number in range(count):
        shutil.copytree(
            originals / f"site-{number % ORIGINALS + 1}", data / f"site-{number + 1}", copy_function=link_to
        )
    words = [f"{name}={json.dumps(value)}" for name, value in {**JOB, "num_rounds": args.rounds}.items()]
    sets = [word for pair in words for word in ("--set", pair)]
    places = ["--data", data, "--results", args.work / "results", "--cache", args.work / "cache"]
    with Watch() as watch:
        document = json.loads(call("simulate", "fedavg", *places, *sets, "--json"))
    rows = read_rows(Path(document["results"]) / ROWS_FILE)
    ends = [row["ended_at"] for row in rows if row["kind"] == "round"]
    rounds = [later - earlier for earlier, later in pairwise(ends)]  # the first opens the sites
    return {
        "sites": count,
        "round_seconds": round(statistics.median(rounds), 3),
        "whole_seconds": document["seconds"],
        "peak_gib": round(watch.peak / 2**30, 2),
        "threads": watch.threads,
    }


def link_to(source: str, target: str) -> str:
    """Instead of a copy."""
    Path(target).symlink_to(Path(source).resolve())
    return target


class Watch:
    """The most memory and threads that the simulation's process has."""

    def __enter__(self) -> Watch:
        self.peak = self.threads = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            for process in psutil.process_iter(["cmdline"]):
                if WORKER in (process.info["cmdline"] or []):
                    self.peak = max(self.peak, process.memory_info().rss)
                    self.threads = max(self.threads, process.num_threads())


if __name__ == "__main__":
    sys.exit(main())
