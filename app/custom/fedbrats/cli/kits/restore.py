"""Make a server or a hospital's site from the file that `fedbrats backup` wrote, on an empty disk.

The kit is written to KIT; jobs, results and state to where they were, or with --storage below another folder. Every
file is compared with the backup's checksums before anything is put in place. A folder that is not empty is refused.

Stop the old machine first: one kit on two machines is two servers, or a site that loses its place again and again.

example:
  fedbrats restore /backup/server-monday.tar /srv/fl.brain-consortium.example
  fedbrats restore /backup/server-monday.tar /srv/fl.brain-consortium.example --storage /srv/fedbrats
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fedbrats.cli.output import print_json, print_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("archive", type=Path, metavar="FILE", help="a file that `fedbrats backup` wrote")
    parser.add_argument("kit", type=Path, metavar="KIT", help="the folder of the kit to write, new or empty")
    parser.add_argument(
        "--storage", type=Path, metavar="FOLDER", help="of a server: where jobs and results are from now on"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document: kit, name, made, places, seconds")


def run(args: argparse.Namespace) -> int:
    """Restore."""
    import time

    from fedbrats.admin.operate.backup import read_manifest, restore

    began = time.monotonic()
    made = read_manifest(args.archive)["made"]
    kit, places = restore(args.archive, args.kit, args.storage)
    seconds = time.monotonic() - began
    if args.json:
        where = {name: str(path) for name, path in places.items()}
        print_json(
            {"kit": str(args.kit), "name": kit.name, "made": made, "places": where, "seconds": round(seconds, 3)}
        )
    else:
        print_line(
            f"{args.kit}: {kit.kind} {kit.name} as of {made}, {seconds:.1f} s; install the package, then run "
            f"`fedbrats doctor`"
        )
    return 0
