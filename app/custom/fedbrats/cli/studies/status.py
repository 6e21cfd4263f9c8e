"""Show who takes part in a federation, who is missing, and the jobs, with a person's startup kit.

A site gives a sign of life about every ten seconds. One that has not for a while is `silent`: its machine or its line
is down, and the server counts it as connected for up to ten minutes. One that the consortium has and the server does
not know is `missing`: it was never started, or was stopped. One that is `revoked` is shut out by the server. The kit of
one that is `on two machines` was started twice: one of the two at most is given tasks.

A hospital may refuse a job: a line below the table of jobs says why. The server asks it about every 12 seconds, ten
times at most; after that it takes part in the next job, or when this one is resumed.

A hospital with another version of the package takes part in a job where the two versions work together; where they do
not, a line below the table says so.

example:
  fedbrats status --kit lead@university.example
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from fedbrats.cli.output import print_json, print_line, print_table
from fedbrats.cli.studies.running import print_jobs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--kit", type=Path, required=True, help="startup kit of a person")
    parser.add_argument("--json", action="store_true", help="print one JSON document: server, sites, jobs ...")


def run(args: argparse.Namespace) -> int:
    """Ask the server."""
    from dataclasses import asdict

    from fedbrats.admin.operate.overview import TWO_MACHINES, look_around
    from fedbrats.admin.run.sessions import person_session

    with person_session(args.kit) as session:
        found = look_around(session, args.kit)
    if args.json:
        print_json(asdict(found))
        return 0
    server = found.server
    versions = "".join(
        f", {what} {server[key]}" for what, key in (("fedbrats", "fedbrats"), ("FLARE", "flare")) if server[key]
    )
    print_line(f"server: up since {server['started']}{versions}")
    rows = [
        (each["name"], each["state"], _ago(each["seen_s"]), each["fedbrats"], each["flare"])
        for each in found.participants
    ]
    print_table(("site", "state", "last seen", "fedbrats", "FLARE"), rows)
    for each in found.participants:
        if each["apart"]:
            print_line(f"{each['name']} takes part in no job with this server: {each['apart']}")
        if each["state"] == TWO_MACHINES:
            machines = " and ".join(each["machines"]) or "unknown addresses"
            print_line(f"{each['name']} runs on two machines ({machines}): have one of them stopped")
    if server["revoked"]:
        print_line(f"shut out by the server: {', '.join(server['revoked'])}")
    print_jobs(found.jobs)
    for job in found.jobs:
        for site, why in (job["standing"] or {}).get("objections", {}).items():
            print_line(f"{site} does not run job {job['job_id']}: {why}")
    return 0


def _ago(seconds: Any) -> str | None:
    return None if seconds is None else f"{seconds:.0f} s ago"
