"""Show the connected sites and the jobs of a federation, with a person's startup kit.

example:
  fedbrats status --kit lead@university.example
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fedbrats.cli.output import print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--kit", type=Path, required=True, help="startup kit of a person")
    parser.add_argument("--json", action="store_true", help="print one JSON document: sites, jobs")


def run(args: argparse.Namespace) -> int:
    """Ask the server."""
    from fedbrats.admin.run.sessions import person_session

    with person_session(args.kit) as session:
        sites = sorted(client.name for client in session.get_system_info().client_info)
        jobs = session.list_jobs()
    if args.json:
        print_json({"sites": sites, "jobs": jobs})
        return 0
    print_table(("connected site",), [(name,) for name in sites])
    columns = ("job_name", "job_id", "submitter_name", "submit_time", "status")
    print_table(("job", "id", "by", "submitted", "status"), [[job.get(name) for name in columns] for job in jobs])
    return 0
