"""Say in one line how the server or the site of this machine is: for a timer, or a container's health check.

Looks at the process, its connections, certificates and disks, and asks nobody over the network. With --textfile it also
writes numbers for the textfile collector of Prometheus' node exporter (docs/reference/operations.md).

Exit status: 0 good, 1 somebody should look, 2 it does not work. With --critical 1 becomes 0.

example:
  fedbrats health hospital-north
  fedbrats health hospital-north --textfile /var/lib/prometheus/node-exporter/fedbrats.prom
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fedbrats.cli.output import print_json, print_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("kit", type=Path, help="the startup kit of the server or of a hospital")
    parser.add_argument(
        "--textfile",
        type=Path,
        metavar="FILE",
        help="write the numbers in Prometheus' text format, in a folder that exists",
    )
    parser.add_argument("--critical", action="store_true", help="exit with 0 unless it does not work at all")
    parser.add_argument("--json", action="store_true", help="print one JSON document: status, said, metrics")


def run(args: argparse.Namespace) -> int:
    """Look, and write the numbers where asked."""
    from dataclasses import asdict

    from fedbrats.admin.kits import open_kit
    from fedbrats.admin.operate.health import CRITICAL, GOOD, look_at, prometheus_text
    from fedbrats.atomic import write_text_atomic
    from fedbrats.errors import ConfigurationError

    kit = open_kit(args.kit)
    if kit.kind == "admin":
        raise ConfigurationError(
            f"{args.kit} is the kit of a person, who runs nothing; `fedbrats status` asks the server"
        )
    if args.textfile and not args.textfile.absolute().parent.is_dir():
        raise ConfigurationError(
            f"the folder {args.textfile.parent} is not there: make it, for the collector to read (--textfile)"
        )
    health = look_at(kit)
    if args.textfile:
        write_text_atomic(args.textfile, prometheus_text(kit, health.metrics), mode=0o644)
    if args.json:
        print_json(asdict(health))
    else:
        word = ("good", "warning", "critical")[health.status]
        print_line(f"{word}: {kit.kind} {kit.name}{': ' if health.said else ''}{'; '.join(health.said)}")
    return GOOD if args.critical and health.status != CRITICAL else health.status
