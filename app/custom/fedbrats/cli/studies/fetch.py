"""Download the result of a finished job: rows, models, TensorBoard events, and where all of it comes from.

Only the person who submitted the job and the project admin may fetch it. `summary.json` holds the final model's scores,
`provenance.json` who submitted what and when, the job's hash and configuration, and which version and which data (by
the hash of its datalist) each site ran it with.

example:
  fedbrats fetch 18f294b6-815c-47c5-b35f-0d74ab09547e --kit lead@university.example
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fedbrats.cli.progress import print_documents


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("job_id", metavar="JOB_ID")
    parser.add_argument("--kit", type=Path, required=True, help="startup kit of the person who submitted the job")
    parser.add_argument("--results", type=Path, default=Path("results"), help="parent folder (default: results)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Download and summarise."""
    from fedbrats.admin.run.remote import fetch
    from fedbrats.admin.run.sessions import person_session

    with person_session(args.kit) as session:
        document = fetch(session, args.job_id, args.results / args.job_id)
    print_documents([document], as_json=args.json)
    return 0
