"""What secure aggregation with pads costs: bytes and seconds of a round, by simulation of the protocol.

One site pads against all others, and the server adds and takes off one site's part, for as many sites as are named: the
others cost the same. `share` compares with a round of so many seconds.

example:
  python benchmarks/pads.py --sites 5 33 100 --numbers 1300000 31000000
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from record import RESULTS, Target, write

from fedbrats.federation.factor.similarity import SKETCH_LENGTH, sketch
from fedbrats.privacy.secure.pads import SEED_BYTES, derive, pad_of
from fedbrats.privacy.secure.ring import bits_for, from_ring, to_ring

SIGNATURE_BYTES, KEY_BYTES, CERTIFICATE_BYTES = 256, 32, 1400


def main() -> int:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", nargs="+", type=int, default=[5, 33, 100])
    parser.add_argument("--numbers", nargs="+", type=int, default=[1_300_000, 31_000_000])
    parser.add_argument("--round-seconds", type=float, default=60.0, help="of an open round (default: 60)")
    parser.add_argument("--out", type=Path, default=RESULTS / "pads.json")
    args = parser.parse_args()
    rows = [measure(sites, numbers) for numbers in args.numbers for sites in args.sites]
    first = rows[0]
    targets = [
        Target("bytes_over_open", 1.1, max(row["bytes_over_open"] for row in rows)),
        Target("share_of_a_round", 0.05, (first["site_s"] + first["server_s"]) / args.round_seconds),
    ]
    return write(args.out, targets, {"round_seconds": args.round_seconds, "rows": rows})


def measure(sites: int, numbers: int) -> dict[str, float]:
    """Seconds of a site, seconds of the server for all sites, and bytes of a site."""
    update = np.random.default_rng(0).normal(size=numbers).astype(np.float32)
    bits = bits_for(float(np.linalg.norm(update)) / sites, sites)
    began = time.perf_counter()
    sketch({"net": update})
    sketched = time.perf_counter() - began
    began = time.perf_counter()
    total = to_ring(update, 1 / sites, bits, sites)
    total += pad_of(b"o" * SEED_BYTES, numbers)
    for peer in range(sites - 1):
        add = np.add if peer % 2 else np.subtract
        add(total, pad_of(derive(b"s" * SEED_BYTES, peer), numbers), out=total)
    padded = time.perf_counter() - began
    began = time.perf_counter()
    total += total
    total -= pad_of(b"o" * SEED_BYTES, numbers)
    one = time.perf_counter() - began
    began = time.perf_counter()
    from_ring(total, bits)
    undone = time.perf_counter() - began
    opened = 4 * numbers
    control = 4 * SKETCH_LENGTH + KEY_BYTES + CERTIFICATE_BYTES + 2 * SIGNATURE_BYTES + sites * (SIGNATURE_BYTES + 40)
    return {
        "sites": sites,
        "numbers": numbers,
        "bits": bits,
        "site_s": round(sketched + padded, 3),
        "server_s": round(one * sites + undone, 3),
        "bytes_over_open": (opened + control + SEED_BYTES) / opened,
    }


if __name__ == "__main__":
    sys.exit(main())
