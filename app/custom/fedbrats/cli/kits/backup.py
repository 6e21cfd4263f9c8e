"""Write one file with everything that a participant needs to be restored on an empty disk.

Of a server: its kit with the list of revoked hospitals, the register and the audit trail; jobs, results, snapshots, and
the state that resuming a job needs. Of a hospital: its kit, personal weights and optimisers; not its scans, and not its
prepared cases. The participant may be running.

The file has the kit's private key: keep it encrypted, and not on the same disk.

example:
  fedbrats backup fl.brain-consortium.example --out /backup/server-monday.tar
  fedbrats restore /backup/server-monday.tar /srv/fl.brain-consortium.example
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fedbrats.cli.output import print_json, print_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("kit", type=Path, help="the startup kit of the server or of a hospital")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the file to write; it is replaced whole"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document: archive, files, bytes, seconds")


def run(args: argparse.Namespace) -> int:
    """Write the archive."""
    import time

    from fedbrats.admin.kits import open_kit
    from fedbrats.admin.operate.backup import write_backup
    from fedbrats.cli.progress import say

    began = time.monotonic()
    contents = write_backup(open_kit(args.kit), args.out)
    seconds = time.monotonic() - began
    if contents.skipped:
        say(f"backup: {len(contents.skipped)} links and special files are left out, {contents.skipped[0]} first")
    if args.json:
        numbers = {"files": len(contents.files), "bytes": contents.size, "seconds": round(seconds, 3)}
        print_json({"archive": str(args.out), **numbers, "skipped": contents.skipped})
    else:
        print_line(
            f"{args.out}: {len(contents.files)} files, {contents.size / 1e6:.1f} MB, {seconds:.1f} s; it has a private "
            f"key: encrypt it, and keep it on another machine"
        )
    return 0
