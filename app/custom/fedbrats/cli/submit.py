"""Submit a job to a federation with a person's startup kit, as FLARE's console or `nvflare job submit` would.

The job is built, signed with the kit's key and sent; sites run it as soon as the server has scheduled it. With --wait,
the command ends when the job has, and its status is that of the job. Prints the job's id.

example:
  fedbrats submit fedavg --kit lead@university.example --set num_rounds=50
  fedbrats submit evaluate --kit lead@university.example --models results/fedavg results/fedper
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from fedbrats.cli.job import add_models_argument, add_set_argument
from fedbrats.cli.output import print_json
from fedbrats.cli.progress import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("job", help="a name as `fedbrats job list` shows it, or the folder of a built job")
    parser.add_argument("--kit", type=Path, required=True, help="the startup kit of a project admin or lead")
    parser.add_argument("--wait", action="store_true", help="wait for the job's end")
    add_set_argument(parser)
    add_models_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document: job_id, status")


def run(args: argparse.Namespace) -> int:
    """Build, submit, and wait where asked."""
    from fedbrats.errors import ConfigurationError
    from fedbrats.flare.jobs import META, build_job, parse_settings
    from fedbrats.flare.remote import submit, wait_for_end
    from fedbrats.flare.runs import COMPLETED
    from fedbrats.flare.sessions import person_session

    settings = parse_settings(args.settings)
    built = Path(args.job) if (Path(args.job) / META).is_file() else None
    if built and (settings or args.models):
        raise ConfigurationError(f"{built} is built already; --set and --models take effect when a job is built")
    with tempfile.TemporaryDirectory(prefix="fedbrats-job-") as folder, person_session(args.kit) as session:
        job_id = submit(session, built or build_job(args.job, Path(folder), settings, models=args.models))
        say(f"submitted {args.job} as {job_id}")
        status = wait_for_end(session, job_id) if args.wait else "SUBMITTED"
    if args.json:
        print_json({"job_id": job_id, "status": status})
    else:
        print(job_id)
    return 0 if status in ("SUBMITTED", COMPLETED) else 1
