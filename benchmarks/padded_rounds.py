"""What sums under pads add to a round of real processes: an open job and one with secure=pads, one after the other.

    python benchmarks/padded_rounds.py                  # on phantoms it makes itself
    python benchmarks/padded_rounds.py --data sites     # on sites of your own

Runs FedAvg as it stands in app/ twice in FLARE POC with five sites, without Dice in the rounds, which would only make
them longer. The share is that of the exchange (after the last site has trained, until the sum is known) in its round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from record import RESULTS, Target, write
from rounds import median_round, rounds_of, seconds_of

from fedbrats.cli.call import call
from fedbrats.rows import Row

OPEN = {"validate_received": False, "validate_trained": False}
TARGETS = {"share_of_a_round": 0.05, "bytes_over_open": 1.1}


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a sites folder (default: five phantom sites)")
    parser.add_argument("--rounds", type=int, default=4, help="rounds of each job (default: 4)")
    parser.add_argument("--work", type=Path, default=Path("build/benchmarks/padded_rounds"), help="scratch folder")
    parser.add_argument("--out", type=Path, default=RESULTS / "padded_rounds.json")
    args = parser.parse_args()
    data = args.data or args.work / "sites"
    if not args.data:
        call("phantom", data, "--sites", 5, "--cases", 6, "--seed", 0, "--force")
    load_before = os.getloadavg()[0]
    rows, _, _ = rounds_of(args, data, OPEN)
    padded, _, _ = rounds_of(args, data, {**OPEN, "secure": "pads"})
    shares = shares_of(padded)
    exchanges = [row["seconds"] for row in padded if row["kind"] == "padded"]
    numbers = {
        "rounds": len(exchanges),
        "open_round_seconds": median_round(rows),
        "padded_round_seconds": median_round(padded),
        "exchange_seconds": round(statistics.median(exchanges), 3),
        "fastest_and_slowest_exchange": f"{min(exchanges):.3f} and {max(exchanges):.3f}",
        "share_of_a_round": round(statistics.median(shares), 4),
        "lowest_and_highest_share": f"{min(shares):.3f} and {max(shares):.3f}",
        "bytes_over_open": round(sent(padded) / sent(rows), 4),
        "load_average_before_and_after": f"{load_before:.1f} and {os.getloadavg()[0]:.1f}",
    }
    return write(
        args.out, [Target(name, target, numbers[name]) for name, target in TARGETS.items()], {"numbers": numbers}
    )


def shares_of(rows: Sequence[Row]) -> list[float]:
    """The exchange's share in each round but the first, which no round before bounds."""
    exchanges = {row["round"]: row["seconds"] for row in rows if row["kind"] == "padded"}
    return [exchanges[number] / seconds for number, seconds in enumerate(seconds_of(rows), 1)]


def sent(rows: Sequence[Row]) -> int:
    """Bytes of arrays that the sites sent in all rounds."""
    return sum(row["bytes"]["up"] for row in rows if row["kind"] in ("site", "padded"))


if __name__ == "__main__":
    sys.exit(main())
