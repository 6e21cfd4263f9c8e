"""Submit a job to a federation with a person's startup kit, like FLARE's console or `nvflare job submit`.

Builds the job, signs it with the kit's key, sends it, and prints its id. Sites run it as soon as the server has
scheduled it. With --wait the command ends when the job ends, and its exit status says whether the job completed.

With --resume, a job that ended before its last round continues after its last finished round, with the same model, best
model, memory and numbering of rounds. The server keeps what this needs in `state` of its `storage_dir`, or of its kit.

example:
  fedbrats submit fedavg --kit lead@university.example --set num_rounds=50
  fedbrats submit evaluate --kit lead@university.example --models results/fedavg results/fedper
  fedbrats submit --resume 0a1b2c3d-4e5f-6789-abcd-ef0123456789 --kit lead@university.example
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from fedbrats.api.jobs import check_jobs, wrong_arguments
from fedbrats.cli.job_arguments import (
    add_set_argument,
    read_settings,
    tell_misfits_of_jobs,
)
from fedbrats.cli.output import print_json, print_line
from fedbrats.cli.progress import never_silent, say
from fedbrats.cli.studies.following import follow_job
from fedbrats.cli.studies.job import add_models_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "job", nargs="?", help="name of a job, as `fedbrats job list` shows it, or the folder of a built job"
    )
    parser.add_argument("--resume", metavar="JOB_ID", help="continue this job instead, after its last finished round")
    parser.add_argument("--kit", type=Path, required=True, help="the startup kit of a project admin or lead")
    parser.add_argument("--wait", action="store_true", help="wait until the job has ended, with a line for each round")
    add_set_argument(parser)
    add_models_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document: job_id, status")


def run(args: argparse.Namespace) -> int:
    """Build, submit, and wait where asked."""
    from fedbrats.admin.run.remote import resumed_job, submit
    from fedbrats.admin.run.sessions import person_session
    from fedbrats.errors import ArgumentError
    from fedbrats.jobs.build import META, build_job
    from fedbrats.run_folder import COMPLETED

    settings = read_settings(args)
    if bool(args.job) == bool(args.resume):
        raise ArgumentError("name one job to submit, or give --resume and the id of the job to continue")
    if args.resume and args.models:
        raise ArgumentError("--models belongs to a job that is built; one that is resumed keeps its own")
    built = Path(args.job) if args.job and (Path(args.job) / META).is_file() else None
    if built and (settings or args.models):
        raise ArgumentError(f"{built} is built already; --set and --models take effect when a job is built")
    with tempfile.TemporaryDirectory(prefix="fedbrats-job-") as folder:
        job_dir = built
        if args.job and not built:  # what cannot be is refused before anybody logs in
            check_jobs([args.job], settings)
            tell_misfits_of_jobs("submit", [args.job], settings)
            with wrong_arguments():
                job_dir = build_job(args.job, Path(folder), settings, models=args.models)
        with person_session(args.kit) as session:
            job_dir = job_dir or resumed_job(session, args.kit, args.resume, Path(folder), settings)
            job_id = submit(session, job_dir)
            say(f"submitted {job_dir.name} as {job_id}")
            status = _wait(session, job_id, job_dir.name, args.kit) if args.wait else "SUBMITTED"
    if args.json:
        print_json({"job_id": job_id, "status": status})
    else:
        print_line(job_id)
    return 0 if status in ("SUBMITTED", COMPLETED) else 1


def _wait(session: Any, job_id: str, name: str, kit: Path) -> str:
    """Follow a job to its end; returns its status. It does not end where a person stops to wait."""
    try:
        with never_silent(name):
            return follow_job(session, job_id, name, kit)
    except (KeyboardInterrupt, SystemExit):
        say(f"{name}: the job goes on at the server; wait again with: fedbrats job follow {job_id} --kit {kit}")
        say(f"{name}: to end it: fedbrats job abort {job_id} --kit {kit}")
        raise
