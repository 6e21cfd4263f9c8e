"""List what ended jobs have left on this machine, and with --yes remove it.

Of the server: the submitted job, its result, the state that resuming it needs, its run folder. Of a hospital: run
folders and optimisers; personal weights stay. A job that is at work stays, and so do the newest jobs and young ones.
A job that a server has removed can no longer be fetched or resumed: fetch it, or make a backup, before.

Without --jobs, --days and --gb it keeps what `retention` in local/fedbrats.json of the kit says, and where that says
nothing the newest 20 jobs and those of the last 90 days. Where it is set, the server or the site does the same by
itself at the end of every job.

example:
  fedbrats clean fl.brain-consortium.example --jobs 20 --days 90
  fedbrats clean fl.brain-consortium.example --jobs 20 --days 90 --yes
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fedbrats.cli.arguments import whole_number
from fedbrats.cli.output import print_json, print_line, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("kit", type=Path, help="the startup kit of the server or of a hospital")
    parser.add_argument("--jobs", type=whole_number(0), help="keep this many newest jobs (default: as set, or 20)")
    parser.add_argument("--days", type=whole_number(0), help="keep jobs of so many last days (default: as set, or 90)")
    parser.add_argument("--gb", type=whole_number(1), help="of what stays, keep at most this many GB, newest first")
    parser.add_argument("--yes", action="store_true", help="remove it; without, nothing is removed")
    parser.add_argument("--json", action="store_true", help="print one JSON document: jobs, bytes, removed")


def run(args: argparse.Namespace) -> int:
    """List, and remove where asked."""
    import time

    from fedbrats.admin.kits import open_kit
    from fedbrats.admin.operate.retention import find_removable, remove, retention_of
    from fedbrats.errors import ConfigurationError
    from fedbrats.site.site_file import Retention

    kit = open_kit(args.kit)
    if kit.kind == "admin":
        raise ConfigurationError(f"{args.kit} is the kit of a person, whose machine keeps no jobs")
    given = {name: value for name in ("jobs", "days", "gb") if (value := getattr(args, name)) is not None}
    keep = (retention_of(kit) or Retention()).model_copy(update=given)
    found = find_removable(kit, keep)
    size = sum(each.size for each in found)
    for each in found if args.yes else ():
        remove(each)
    if args.json:
        print_json({"jobs": [each.job for each in found], "bytes": size, "removed": args.yes})
        return 0
    rows = [(each.job, time.strftime("%F", time.localtime(each.written)), f"{each.size / 1e6:.1f}") for each in found]
    if rows:
        print_table(("job", "last written", "MB"), rows)
    word = "removed" if args.yes else "may go; --yes removes it"
    print_line(f"{len(found)} jobs, {size / 1e6:.1f} MB {word}" if found else "nothing is left that may go")
    return 0
