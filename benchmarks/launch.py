"""Where the seconds of a job's launch and end go, and the memory of five sites on one machine.

    python benchmarks/launch.py                  # on phantoms it makes itself

Runs an empty job (one step of a tiny network) several times in one FLARE POC with five sites, in turns with processes
forked from one that has imported everything, and started anew as FLARE does. Launch is the time from the command to
the first task at the last site; end is the time from the last answer of a site to the command's return. Medians.
Writes benchmarks/results/launch.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from record import RESULTS, Target, write
from rounds import EMPTY

from fedbrats.admin.run import warming
from fedbrats.admin.run.poc import Poc, open_poc
from fedbrats.cli.call import call
from fedbrats.cli.output import print_table
from fedbrats.flare.launch.address import WARM_MODULE

FORKED, ANEW = "forked", "started anew"
FIRST, LAST = "got task assignment", "task result sent to"
STAMP = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3})")
LAUNCH_AND_END_S, SHARE_OF_MEMORY = 11.0, 0.6
LOOK_S = 0.5


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="jobs of each kind (default: 3)")
    parser.add_argument("--sites", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("build/benchmarks/launch"), help="scratch folder")
    parser.add_argument("--out", type=Path, default=RESULTS / "launch.json")
    args = parser.parse_args()
    data, workspace = args.work / "sites", args.work / "poc"
    call("phantom", data, "--sites", args.sites, "--cases", 6, "--seed", 0, "--force")
    began = time.time()
    call("poc", "up", "--data", data, "--workspace", workspace, "--cache", args.work / "cache")
    up_s = time.time() - began
    poc = open_poc(workspace)
    found: dict[str, list[dict[str, float]]] = {FORKED: [], ANEW: []}
    try:
        for _ in range(args.repeats):
            for way, measured in found.items():
                end_warm(poc) if way == ANEW else warming.start(poc.kits)
                measured.append(run_job(args, poc))
    finally:
        call("poc", "down", "--workspace", workspace)
    ways = {way: {key: median(jobs, key) for key in jobs[0]} for way, jobs in found.items()}
    forked, anew = ways[FORKED], ways[ANEW]
    targets = [
        Target("launch_and_end_seconds", LAUNCH_AND_END_S, round(forked["launch_s"] + forked["end_s"], 1)),
        Target("memory_over_started_anew", SHARE_OF_MEMORY, round(forked["pss_mb"] / anew["pss_mb"], 2)),
    ]
    status = write(args.out, targets, {"ways": ways, "up_seconds": round(up_s, 1), "every_job": found})
    print_table(("", *forked), [(way, *numbers.values()) for way, numbers in ways.items()], title="Medians")
    return status


def run_job(args: argparse.Namespace, poc: Poc) -> dict[str, float]:
    """One job: its times, and the most memory of the job's processes and of the warm one together."""
    words = [f"{name}={json.dumps(value)}" for name, value in {**EMPTY, "num_rounds": 3}.items()]
    sets = [word for pair in words for word in ("--set", pair)]
    load = psutil.getloadavg()[0]
    peak = Peak(poc)
    called = time.time()
    places = ["--workspace", poc.workspace, "--results", args.work / "results"]
    document = json.loads(call("poc", "submit", "fedavg", *places, *sets, "--json"))
    returned = time.time()
    pss = peak.stop()
    first, last = zip(*(tasks_of(poc, site, document["job_id"]) for site in poc.sites), strict=True)
    times = {"launch_s": max(first) - called, "end_s": returned - max(last)}
    return {**{key: round(value, 2) for key, value in times.items()}, "pss_mb": round(pss), "load": round(load, 1)}


def tasks_of(poc: Poc, site: str, job_id: str) -> tuple[float, float]:
    """When a site got its first task, and when its last answer was sent, by its log."""
    lines = (poc.run_dir(site, job_id) / "log.txt").read_text(encoding="utf-8").splitlines()
    first = next(at(line) for line in lines if FIRST in line)
    return first, next(at(line) for line in reversed(lines) if LAST in line)


def at(line: str) -> float:
    """The time of a line of a log."""
    found = STAMP.match(line)
    assert found
    return datetime.datetime.fromisoformat(found[1]).timestamp() + int(found[2]) / 1000


def end_warm(poc: Poc) -> None:
    """End the process that forks."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if WARM_MODULE in words and str(poc.kits) in words:
            process.kill()
            process.wait()


class Peak:
    """The most memory (PSS, MB) of the job's processes and of the warm one, while it is not stopped."""

    def __init__(self, poc: Poc):
        self._kits, self._most = f"{poc.kits}", 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def stop(self) -> float:
        """The peak."""
        self._over.set()
        self._thread.join()
        return self._most

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            total = 0.0
            for process in psutil.process_iter(["cmdline"]):
                words: list[Any] = process.info["cmdline"] or []
                if not any(word.startswith(self._kits) for word in words):
                    continue
                if any(name in words for name in (WARM_MODULE, *JOB_MODULES)):
                    try:
                        total += process.memory_full_info().pss / 2**20
                    except psutil.Error:
                        continue
            self._most = max(self._most, total)


JOB_MODULES = ("nvflare.private.fed.app.client.worker_process", "nvflare.private.fed.app.server.runner_process")


def median(jobs: list[dict[str, float]], key: str) -> float:
    """The median of a number over jobs."""
    return round(statistics.median(job[key] for job in jobs), 2)


if __name__ == "__main__":
    sys.exit(main())
