"""Whether a long job grows: memory, open files, threads and log bytes of every process, from round 50 to round 300.

    python benchmarks/soak.py                # 300 rounds, five phantom sites, a tiny network; about ten minutes
    python benchmarks/soak.py --rounds 80    # a look

Runs personal heads with the Contribution Factor in FLARE POC: of all jobs the one that remembers most. Every process of
the federation is measured as the rounds pass. Writes benchmarks/results/soak.json; exits with 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fedbrats.admin.run import poc as federation
from fedbrats.admin.run.following import RowsReader
from fedbrats.admin.run.processes import find_processes, stop
from fedbrats.admin.run.runs import run_job
from fedbrats.admin.run.sessions import admin_session
from fedbrats.atomic import write_json_atomic
from fedbrats.cli.main import main as fedbrats
from fedbrats.cli.output import print_table
from fedbrats.jobs.build import build_job
from fedbrats.rows import ROWS_FILE, ROWS_FOLDER

JOB = "contribution_fedper"
SEED = 0
SETTINGS = {"network": "tiny", "local_steps": 1, "spacing_mm": 8.0, "final_flips": False, "seed": SEED}
WARM = 50  # by then imports, pools and caches are there: what grows afterwards grows for ever
EVERY = 10  # rounds between two samples of the course
ROTATED = ("log.txt", "log.json", "log_fl.txt", "error_log.txt")  # by FLARE, at 20 MiB
CONSOLE = ("console.log",)  # never rotated
AUDIT = ("audit.log", "audit.txt")  # who did what: kept whole on purpose, and part of no target
TARGETS = {
    "uss_growth_percent": 5.0,  # of the process that grew most
    "rss_growth_percent": 5.0,
    "open_files_growth": 0,
    # FLARE starts some threads a round that live for about a minute: their number swings, so peaks are compared.
    "threads_peak_growth_percent": 5.0,  # the highest of the last hundred rounds against that of rounds 50 to 150
    "log_pace_growth_percent": 5.0,  # kilobytes a round, of all processes together: of the last hundred, likewise
    "console_kilobytes_a_round": 1.0,
}
SPAN = 100  # rounds whose peaks and paces are compared
MEANS = 50  # rounds whose memory is compared by its mean: one sample swings by 10 MB from one collection to the next
COURSE = ("rss_mb", "uss_mb", "open_files", "threads", "log_kb", "console_kb", "audit_kb")
Sample = dict[str, float]


def main() -> int:
    """Run, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300, help="(default: 300)")
    parser.add_argument("--work", type=Path, default=Path("build/benchmarks/soak"), help="scratch folder")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "soak.json")
    args = parser.parse_args()
    if args.rounds <= WARM + EVERY:
        parser.error(f"--rounds must be more than {WARM + EVERY}: growth is counted from round {WARM}")
    if args.rounds % EVERY:
        parser.error(f"--rounds must be a multiple of {EVERY}")
    sites = args.work / "sites"
    phantoms = ["--sites", "5", "--cases", "4", "--spacing-mm", "6", "--seed", str(SEED), "--force"]
    if fedbrats(["phantom", str(sites), *phantoms]):
        return 1
    began = time.monotonic()
    watch = run(args, sites)
    document = {
        "command": " ".join(["python benchmarks/soak.py", *sys.argv[1:]]),
        "machine": {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("fedbrats", "nvflare", "torch", "monai", "numpy")},
        "job": JOB,
        "settings": {**SETTINGS, "num_rounds": args.rounds},
        "phantoms": " ".join(phantoms),
        "seconds": round(time.monotonic() - began),
        **judge(watch.samples, args.rounds),
        "round_seconds": watch.round_seconds(),
    }
    write_json_atomic(args.out, document)
    show(document)
    return 0 if all(target["met"] for target in document["targets"]) else 1


def run(args: argparse.Namespace, sites: Path) -> Watch:
    """One job in a POC of its own, watched from its first round to its last."""
    workspace = args.work / "poc"
    job = build_job(JOB, args.work / "jobs", {**SETTINGS, "num_rounds": args.rounds})
    poc = federation.prepare(workspace, sites, site_facts={"threads": 1}, cache_dir=args.work / "cache")
    watch = Watch(poc, args.rounds)
    try:
        federation.start(poc)
        watch.start()
        with admin_session(poc.admin_kit) as session:
            run_job(poc, session, job, args.work / "results")
    finally:
        watch.end()
        stop(workspace)
    return watch


class Watch(threading.Thread):
    """Samples every process of a federation at rounds 1, 10, 20 ... and at the last one."""

    def __init__(self, poc: federation.Poc, rounds: int):
        super().__init__(daemon=True)
        self._poc = poc
        self._rounds = rounds
        self._over = threading.Event()
        self.samples: dict[int, dict[str, Sample]] = {}
        self._ends: dict[int, float] = {}
        self._rows: RowsReader | None = None

    def run(self) -> None:
        """Look ten times a second how far the job is."""
        while not self._over.wait(0.1):
            done = self._rounds_done()
            due = done if done in (1, self._rounds) else done // EVERY * EVERY
            if due and due not in self.samples:
                self.samples[due] = sample(self._poc)

    def end(self) -> None:
        """Stop looking."""
        self._over.set()
        if self.is_alive():
            self.join()

    def round_seconds(self) -> dict[str, float]:
        """The median time of a round once it is warm, and in the last hundred."""
        ends = [self._ends[number] for number in sorted(self._ends)]
        spans = [later - earlier for earlier, later in itertools.pairwise(ends)]
        return {
            f"rounds_{WARM}_to_{WARM + SPAN}": round(statistics.median(spans[WARM : WARM + SPAN]), 3),
            f"last_{SPAN}": round(statistics.median(spans[-SPAN:]), 3),
        }

    def _rounds_done(self) -> int:
        if self._rows is None:
            path = next(iter(self._poc.kits.glob(f"{federation.SERVER}/*/{ROWS_FOLDER}/{ROWS_FILE}")), None)
            self._rows = RowsReader(path) if path else None
        fresh = self._rows.fresh() if self._rows else []
        self._ends.update({row["round"]: row["ended_at"] for row in fresh if row["kind"] == "round"})
        return len(self._ends)


def sample(poc: federation.Poc) -> dict[str, Sample]:
    """What every Python process of the federation takes now, by `participant` and `participant job`."""
    found: dict[str, Sample] = {}
    for process in find_processes(poc.workspace):
        words = process.cmdline()
        if Path(words[0]).name in ("bash", "sh"):
            continue
        kit = next(word for word in words if word.startswith(str(poc.kits)))
        participant = Path(kit).relative_to(poc.kits).parts[0]
        role = "job" if any("runner_process" in word or "worker_process" in word for word in words) else "parent"
        memory = process.memory_full_info()
        found[f"{participant} {role}"] = {
            "rss_mb": round(memory.rss / 2**20, 1),
            "uss_mb": round(memory.uss / 2**20, 1),
            "open_files": process.num_fds(),
            "threads": process.num_threads(),
        }
    for participant in (federation.SERVER, *poc.sites):
        folder = poc.kits / participant
        for key, names in (("log_kb", ROTATED), ("console_kb", CONSOLE), ("audit_kb", AUDIT)):
            found[f"{participant} parent"][key] = round(sum(sizes(folder, names)) / 1024, 1)
    return found


def sizes(folder: Path, names: Iterable[str]) -> Iterable[int]:
    """Bytes of every file of these names below a folder, their rotated ones included."""
    return (path.stat().st_size for name in names for path in folder.rglob(f"{name}*"))


def judge(samples: Mapping[int, Mapping[str, Sample]], rounds: int) -> dict[str, Any]:
    """The processes at round 50 and at the end, what the course in between was, and the targets."""
    first, last = samples[WARM], samples[rounds]
    processes = {name: {"at_50": first[name], f"at_{rounds}": last[name]} for name in sorted(first)}

    def growth(key: str) -> dict[str, float]:
        """From the mean of rounds 50 to 100 to that of the last fifty, by process."""
        return {name: mean_of(name, key, late) - mean_of(name, key, early) for name in first if key in first[name]}

    def mean_of(name: str, key: str, span: tuple[int, int]) -> float:
        return statistics.mean(each[name][key] for number, each in samples.items() if span[0] <= number <= span[1])

    early, late = (WARM, min(WARM + MEANS, rounds)), (max(rounds - MEANS, WARM), rounds)
    totals = {
        number: {key: sum(each.get(key, 0) for each in found.values()) for key in COURSE}
        for number, found in sorted(samples.items())
    }
    first_span, last_span = (WARM, min(WARM + SPAN, rounds)), (max(rounds - SPAN, WARM), rounds)

    def peak(span: tuple[int, int]) -> float:
        return max(each["threads"] for number, each in totals.items() if span[0] <= number <= span[1])

    def pace(key: str, span: tuple[int, int]) -> float:
        return (totals[span[1]][key] - totals[span[0]][key]) / (span[1] - span[0])

    numbers = {
        "uss_growth_percent": max(
            100 * each / mean_of(name, "uss_mb", early) for name, each in growth("uss_mb").items()
        ),
        "rss_growth_percent": max(
            100 * each / mean_of(name, "rss_mb", early) for name, each in growth("rss_mb").items()
        ),
        "open_files_growth": round(max(growth("open_files").values())),
        "threads_peak_growth_percent": 100 * (peak(last_span) / peak(first_span) - 1),
        "log_pace_growth_percent": 100 * (pace("log_kb", last_span) / pace("log_kb", first_span) - 1),
        "console_kilobytes_a_round": pace("console_kb", (WARM, rounds)),
    }
    targets = [
        {"name": name, "target": target, "value": round(numbers[name], 3), "met": numbers[name] <= target}
        for name, target in TARGETS.items()
    ]
    memory = {
        number: {name: [each["uss_mb"], each["rss_mb"]] for name, each in found.items()}
        for number, found in sorted(samples.items())
    }
    return {
        "targets": targets,
        "processes": processes,
        "course_of_all_processes": totals,
        "uss_and_rss_mb_by_process": memory,
    }


def show(document: Mapping[str, Any]) -> None:
    """The targets and the processes as tables."""
    print_table(
        ("what", "at most", "measured", "met"),
        [(each["name"], each["target"], each["value"], "yes" if each["met"] else "NO") for each in document["targets"]],
    )
    keys = ("rss_mb", "uss_mb", "open_files", "threads")
    rows = []
    for name, found in document["processes"].items():
        first, last = found.values()
        rows.append((name, *(f"{first[key]:g} > {last[key]:g}" for key in keys)))
    print_table(("process", *keys), rows, title=f"round {WARM} > round {document['settings']['num_rounds']}")
    print(json.dumps(document["round_seconds"]))


if __name__ == "__main__":
    sys.exit(main())
