"""Judge a startup kit and this machine before anything starts: what is wrong, what to do, and whose task it is.

Looks at the versions installed, keys and certificates, the way to the server, the policy in the kit, disks, memory and
device, and at a site also at its data. Nothing is changed, and no case is named. Exit status: 0 nothing failed, 1
something did.

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
    parser.add_argument("--root", metavar="FINGERPRINT", help="of the consortium's root, to compare")
    parser.add_argument("--all-cases", action="store_true", help="read every case, not the first few")
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
        print_table(("check", "state", "found", "what to do", "whose task"), rows, title=f"{kit.kind} {kit.name}")
    return 0 if healthy else 1
