"""Check a startup kit and this machine before anything starts: what is wrong, what to do, and who must do it.

Checks installed versions, keys and certificates, the connection to the server, the kit's policy, disks, memory and
device; at a site also its data. Changes nothing and names no case. Exit status: 0 no check failed, 1 a check failed.

example:
  fedbrats doctor hospital-north --root AB:CD:...      # the fingerprint that the project admin read out
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from fedbrats.cli.output import print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("kit", type=Path, help="a startup kit: the folder that holds startup/ and local/")
    parser.add_argument(
        "--root", metavar="FINGERPRINT", help="fingerprint of the consortium's root that the kit must have"
    )
    parser.add_argument("--all-cases", action="store_true", help="read all cases and not only the first few")
    parser.add_argument("--offline", action="store_true", help="do not connect to the server")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")


def run(args: argparse.Namespace) -> int:
    """Examine and report."""
    from fedbrats.admin.kits import open_kit
    from fedbrats.admin.operate.doctor import examine
    from fedbrats.admin.operate.doctor.finding import FAILED

    kit = open_kit(args.kit)
    findings = list(examine(kit, root=args.root, all_cases=args.all_cases, offline=args.offline))
    healthy = all(finding.state != FAILED for finding in findings)
    if args.json:
        document = {"kit": kit.name, "kind": kit.kind, "healthy": healthy, "findings": list(map(asdict, findings))}
        print_json(document)
    else:
        rows = [(f.check, f.state, f.found, f.remedy, f.owner) for f in findings]
        print_table(("check", "state", "found", "what to do", "who does it"), rows, title=f"{kit.kind} {kit.name}")
    return 0 if healthy else 1
