"""Where the seconds of a federated round go: training, waiting for data, validation, and what FLARE adds.

    python benchmarks/rounds.py                  # on phantoms it makes itself
    python benchmarks/rounds.py --data sites     # on sites of your own
    python benchmarks/rounds.py --empty          # the empty job alone, into empty_round.json

Runs two jobs in FLARE POC with five sites: an empty one (one step of a tiny network, no validation), and plain FedAvg
as it stands in app/. Writes benchmarks/results/rounds.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from record import RESULTS, Target, write

from fedbrats.cli.call import call
from fedbrats.cli.output import print_table
from fedbrats.rows import ROWS_FILE, Row, read_rows

EMPTY = {
    "network": "tiny",
    "local_steps": 1,
    "patch_size": [16, 16, 16],
    "validate_received": False,
    "validate_trained": False,
}
TARGETS = {"empty_round_seconds": 0.5, "overhead_ratio": 1.1, "waiting_share": 0.02}


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a sites folder (default: five phantom sites)")
    parser.add_argument("--rounds", type=int, default=12, help="rounds of each job (default: 12)")
    parser.add_argument("--work", type=Path, default=Path("build/benchmarks/rounds"), help="scratch folder")
    parser.add_argument("--empty", action="store_true", help="measure the empty job alone")
    parser.add_argument("--out", type=Path, help="(default: rounds.json or empty_round.json in benchmarks/results)")
    args = parser.parse_args()
    data = args.data or args.work / "sites"
    if not args.data:
        call("phantom", data, "--sites", 5, "--cases", 6, "--seed", 0, "--force")
    load_before = os.getloadavg()[0]
    empty, before_s, after_s = rounds_of(args, data, EMPTY)
    if args.empty:
        return write_empty(args.out or RESULTS / "empty_round.json", empty, (load_before, os.getloadavg()[0]))
    full, _, _ = rounds_of(args, data, {})
    numbers = {
        "launch_seconds": round(before_s, 1),
        "shutdown_seconds": round(after_s, 1),
        "empty_round_seconds": median_round(empty),
        "round_seconds": median_round(full),
        **parts_of(full),
    }
    targets = [Target(name, target, numbers[name]) for name, target in TARGETS.items()]
    status = write(args.out or RESULTS / "rounds.json", targets, {"numbers": numbers})
    print_table(("what", "seconds or share"), list(numbers.items()), title="A federated round, medians over rounds")
    return status


def rounds_of(args: argparse.Namespace, data: Path, settings: Mapping[str, Any]) -> tuple[list[Row], float, float]:
    """The rows of a FedAvg job with these settings, the seconds from the command to the job's beginning, and those from
    its last round to the command's end: the last evaluation, results fetched, every process gone."""
    words = [f"{name}={json.dumps(value)}" for name, value in {**settings, "num_rounds": args.rounds}.items()]
    sets = [word for pair in words for word in ("--set", pair)]
    places = [
        "--data",
        data,
        "--results",
        args.work / "results",
        "--workspace",
        args.work / "poc",
        "--cache",
        args.work / "cache",
    ]
    called = time.time()
    document = json.loads(call("poc", "run", "fedavg", *places, *sets, "--json"))
    returned = time.time()
    rows = read_rows(Path(document["results"]) / ROWS_FILE)
    begun = next(row["at"] for row in rows if row["kind"] == "job")
    ended = max(row["ended_at"] for row in rows if row["kind"] == "round")
    return rows, begun - called, returned - ended


def write_empty(out: Path, rows: Sequence[Row], load: tuple[float, float]) -> int:
    """Write what the empty job took, and how busy the machine was: half of the rounds lie between the quartiles."""
    seconds = seconds_of(rows)
    low, median, high = statistics.quantiles(seconds, n=4)
    numbers = {
        "rounds": len(seconds),
        "empty_round_seconds": round(median, 3),
        "quartiles": f"{low:.3f} to {high:.3f}",
        "fastest": round(min(seconds), 3),
        "load_average_before_and_after": " and ".join(f"{each:.1f}" for each in load),
    }
    target = Target("empty_round_seconds", TARGETS["empty_round_seconds"], numbers["empty_round_seconds"])
    return write(out, [target], {"numbers": numbers})


def median_round(rows: Sequence[Row]) -> float:
    """Median seconds of a round."""
    return round(statistics.median(seconds_of(rows)), 3)


def seconds_of(rows: Sequence[Row]) -> list[float]:
    """Seconds from the end of a round to the end of the next: everything that happens in between counts."""
    ends = [row["ended_at"] for row in rows if row["kind"] == "round"]
    return [later - earlier for earlier, later in itertools.pairwise(ends)]


def parts_of(rows: Sequence[Row]) -> dict[str, float]:
    """Medians over rounds after the first: the slowest site's work, the rest, and the share of waiting for data."""
    slowest, rest, waiting, training = [], [], 0.0, 0.0
    ends = {row["round"]: row["ended_at"] for row in rows if row["kind"] == "round"}
    for number in sorted(ends)[1:]:
        sites = [row["seconds"] for row in rows if row["kind"] == "site" and row["round"] == number]
        busy = max(site["training"] + site["validating"] for site in sites)
        slowest.append(busy)
        rest.append(ends[number] - ends[number - 1] - busy)
        waiting += sum(site["waiting"] for site in sites)
        training += sum(site["training"] for site in sites)
    return {
        "slowest_site_seconds": round(statistics.median(slowest), 3),
        "flare_and_aggregation_seconds": round(statistics.median(rest), 3),
        "overhead_ratio": round(statistics.median(b / a + 1 for a, b in zip(slowest, rest, strict=True)), 3),
        "waiting_share": round(waiting / training, 4),
    }


if __name__ == "__main__":
    sys.exit(main())
