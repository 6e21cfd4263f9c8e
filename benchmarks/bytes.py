"""What a round moves, and what it costs in Dice to move less: 32, 16 and 8 bits, and partial sharing.

    python benchmarks/bytes.py SITES --rounds 8      # a sites folder of real cases; minutes a way

Each way is a job in FLARE POC on the same sites, seed and rounds. A run that is done (--work/WAY) is not done again.
Bytes are of arrays, as they travelled, a round and site. Top-k is left out: eight bits with error feedback reach the
quarter that is asked for without choosing numbers. FLARE's own ModelQuantizer is left out: it needs bitsandbytes, whose
8-bit kernels want CUDA.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from record import RESULTS, Target, write

from fedbrats.cli.call import call
from fedbrats.report.numbers.results import Results, read_results
from fedbrats.report.numbers.statistics import common_values, paired_difference

WAYS: dict[str, tuple[str, tuple[str, ...]]] = {
    "float32": ("fedavg", ()),
    "float16": ("fedavg", ("compression=float16",)),
    "int8": ("fedavg", ("compression=int8",)),
    "personal head": ("fedper", ()),
    "personal decoder": ("fedper_decoder", ()),
    "personal decoder, int8": ("fedper_decoder", ("compression=int8",)),
}
SEED = 0


def main() -> int:
    """Run what is not done, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sites", type=Path, help="a sites folder")
    parser.add_argument("--rounds", type=int, default=8, help="(default: 8)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--work", type=Path, default=Path("build/benchmarks/bytes"), help="scratch folder")
    parser.add_argument("--out", type=Path, default=RESULTS / "bytes.json")
    args = parser.parse_args()
    runs = {way: run(way, args) for way in args.ways}
    full = runs["float32"]
    entries = [{"way": way, **measure(results, full)} for way, results in runs.items()]
    found = {entry["way"]: entry for entry in entries}
    targets = []
    if "int8" in found:
        targets = [
            Target("int8_share_of_bytes", 0.25, found["int8"]["share_of_float32"]),
            Target("int8_dice_lost", 0.002, -found["int8"]["dice_difference"]),
        ]
    return write(args.out, targets, {"rounds": args.rounds, "seed": SEED, "entries": entries})


def run(way: str, args: argparse.Namespace) -> Results:
    """The results of one way."""
    folder = args.work / way.replace(", ", "-").replace(" ", "-")
    if not (folder / "summary.json").exists():
        job, settings = WAYS[way]
        words = [word for each in (*settings, f"num_rounds={args.rounds}") for word in ("--set", each)]
        places = ["--data", args.sites, "--workspace", args.work / "poc", "--cache", args.work / "cache"]
        done = call("poc", "run", job, *places, "--results", args.work / "new", *words, "--json")
        Path(json.loads(done)["results"]).rename(folder)
    return read_results([folder])[0]


def measure(results: Results, full: Results) -> dict[str, Any]:
    """Bytes a round and site, and Dice on the same patients."""
    moved = {way: statistics.median(r["bytes"][way] for r in results.of_kind("site")) for way in ("up", "down")}
    whole = sum(statistics.median(r["bytes"][way] for r in full.of_kind("site")) for way in ("up", "down"))
    ours, theirs = results.dice_by_patient("mean"), full.dice_by_patient("mean")
    difference = paired_difference(*common_values(ours, theirs), seed=SEED)
    return {
        "bytes_up": moved["up"],
        "bytes_down": moved["down"],
        "share_of_float32": round(sum(moved.values()) / whole, 4),
        "dice": round(sum(ours.values()) / len(ours), 4),
        "patients": len(ours),
        "dice_difference": round(difference.mean, 4),
        "dice_difference_interval": [round(difference.low, 4), round(difference.high, 4)],
    }


if __name__ == "__main__":
    sys.exit(main())
