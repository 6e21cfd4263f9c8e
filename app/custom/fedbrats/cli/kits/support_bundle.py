"""Write one archive for somebody who helps from elsewhere: logs, versions, the doctor's rows and settings.

It has no private key, no certificate, no password and no token, and no name of a case or a patient: every text is
searched for them before it is written. It has the names of hospitals, people and machines, and folders of this machine:
read it before you send it. Of each log it takes the last 2 MB.

example:
  fedbrats support-bundle hospital-north --out support-north.zip
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fedbrats.cli.output import print_json, print_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("kit", type=Path, help="the startup kit of the server, a hospital or a person")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the zip archive to write")
    parser.add_argument("--offline", action="store_true", help="do not connect to the server")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document: archive, entries with their bytes"
    )


def run(args: argparse.Namespace) -> int:
    """Collect, clean and write."""
    from fedbrats.admin.kits import open_kit
    from fedbrats.admin.operate.support import write_bundle

    bundle = write_bundle(open_kit(args.kit), args.out, offline=args.offline)
    if args.json:
        print_json({"archive": str(args.out), "entries": bundle.entries})
    else:
        print_line(f"wrote {args.out}: {', '.join(bundle.entries)}; read it before you send it")
    return 0
