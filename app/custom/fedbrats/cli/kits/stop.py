"""Stop the server or a hospital's site on this machine, for maintenance or for good.

A site tells the server that it leaves, so that rounds do not wait for it. Nothing is lost: what a round has finished is
on the disk. Start it again in the usual way; hospitals connect to the server by themselves, and a site is given the job
that runs. A job that ran at a server that was stopped has to be resumed: the command says which.

Under systemd use `systemctl stop`, which does the same. Exit status: 0 nothing of the kit runs, 1 something does.

example:
  fedbrats stop hospital-north
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fedbrats.cli.output import print_json, print_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("kit", type=Path, help="the startup kit of the server or of a hospital")
    parser.add_argument("--json", action="store_true", help="print one JSON document: processes, jobs, seconds, left")


def run(args: argparse.Namespace) -> int:
    """Stop."""
    from dataclasses import asdict

    from fedbrats.admin.kits import open_kit
    from fedbrats.admin.operate.stopping import stop_kit

    kit = open_kit(args.kit)
    stopped = stop_kit(kit)
    if args.json:
        print_json(asdict(stopped))
        return 0
    print_line(f"{kit.kind} {kit.name}: {stopped.processes} processes stopped in {stopped.seconds:.1f} s")
    if stopped.left:
        print_line(f"the kit cannot be written to, so {', '.join(stopped.left)} stays there; nothing of the kit runs")
    for job in stopped.jobs:
        print_line(f"job {job} ran; when the server is up again: fedbrats submit --resume {job} --kit KIT")
    return 0
