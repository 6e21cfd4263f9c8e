"""The demo: five synthetic hospitals of unequal size; who does better, each alone, all data in one place, or federated?

Makes its own data, trains in a real FLARE POC, and prints one table. Everything is under `results/demo`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from fedbrats.cli.output import print_table

SITES, CASES_PER_SITE, SEED = 5, 10, 1
ROUNDS = 12
FEDERATED = ("local_only", "fedavg")


def main() -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/demo"), help="(default: results/demo)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"federated rounds (default: {ROUNDS})")
    args = parser.parse_args()
    began = time.monotonic()
    data = args.out / "sites"
    cohort = ["--sites", SITES, "--cases", CASES_PER_SITE, "--unequal", "--seed", SEED, "--force"]
    fedbrats("phantom", data, *cohort)
    common = ["--cache", args.out / "cache", "--json", "--set", "local_steps=20"]
    rounds = args.rounds
    documents = [json.loads(fedbrats("train", data, "--rounds", rounds, "--out", args.out / "centralised", *common))]
    lines = fedbrats(
        "poc", "run", *FEDERATED, "--data", data, "--results", args.out, "--workspace", args.out / "poc",
        "--set", f"num_rounds={rounds}", *common,
    )  # fmt: skip
    documents += [json.loads(line) for line in lines.splitlines()]
    show(documents)
    print(f"{time.monotonic() - began:.0f} s in all; models and rows are in {args.out}")
    return 0


def show(documents: list[dict[str, Any]]) -> None:
    """Print Dice of every method, over all validation cases and at every site."""
    names = {"train": "all data in one place", "local_only": "every site alone", "fedavg": "federated (FedAvg)"}
    sites = list(documents[0]["per_site"])
    rows = []
    for document in documents:
        dice = [document["dice"][region] for region in ("mean", "WT", "TC", "ET")]
        own = [(document["per_site"][site]["dice"] or {}).get("mean") for site in sites]
        rows.append((names[document["job"]], *dice, *own))
    title = "Validation Dice of the final models, synthetic data"
    print_table(("trained on", "Dice", "WT", "TC", "ET", *sites), rows, title=title)


def fedbrats(*words: object) -> str:
    """Run a fedbrats command, its progress on our standard error; returns its standard output."""
    command = [sys.executable, "-m", "fedbrats.cli.main", *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
