"""The actions of `fedbrats job` that ask a consortium's server about jobs: show, follow, logs, abort, list."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedbrats.cli.arguments import whole_number
from fedbrats.cli.output import print_json, print_line, print_table
from fedbrats.cli.studies.following import follow_job, round_line

LOG_LINES = 200


def add_running_arguments(actions: Any) -> None:
    """Declare `job show`, `job follow`, `job logs` and `job abort`."""
    for name, help_line in (
        ("show", "who submitted a job, where it stands, and why it ended"),
        ("follow", "a line for each round until the job has ended; exits with 0 if it completed"),
        ("logs", "what the server logged of a job; logs of sites stay at the sites"),
        ("abort", "end a job that waits or runs, if your role may"),
    ):
        action = actions.add_parser(name, help=help_line)
        action.add_argument("job_id", metavar="JOB_ID", help="as `fedbrats job list --consortium` shows it")
        action.add_argument("--kit", type=Path, required=True, help="startup kit of a person")
        if name == "logs":
            action.add_argument(
                "--lines", type=whole_number(1), default=LOG_LINES, help=f"the last ones (default: {LOG_LINES})"
            )
        action.add_argument("--json", action="store_true", help="print one JSON document")


def run_running(args: argparse.Namespace) -> int:
    """Ask the server about one job."""
    from fedbrats.admin.operate.jobs import check_id
    from fedbrats.admin.run.sessions import person_session

    job_id = check_id(args.job_id)
    actions: dict[str, Callable[[Any, str, argparse.Namespace], int]] = {
        "show": _show,
        "follow": _follow,
        "logs": _logs,
        "abort": _abort,
    }
    with person_session(args.kit) as session:
        return actions[args.action](session, job_id, args)


def list_of_consortium(args: argparse.Namespace) -> int:
    """Show every job that the server knows."""
    from fedbrats.admin.operate.overview import read_jobs
    from fedbrats.admin.run.sessions import person_session

    with person_session(args.kit) as session:
        jobs = read_jobs(session)
    if args.json:
        print_json({"jobs": jobs})
    else:
        print_jobs(jobs)
    return 0


def print_jobs(jobs: list[dict[str, Any]]) -> None:
    """A table of jobs, as `read_jobs` gives them."""
    columns = ("job_name", "job_id", "submitter", "submit_time", "status", "round")
    print_table(
        ("job", "id", "by", "submitted", "status", "round"), [[job.get(name) for name in columns] for job in jobs]
    )


def _show(session: Any, job_id: str, args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from fedbrats.admin.operate.jobs import view_job

    found = view_job(session, job_id)
    if args.json:
        print_json(asdict(found))
        return 0
    rows = [(name, value) for name, value in found.facts.items() if value not in (None, "")]
    if found.standing:
        rows.append(("stands at", round_line(found.standing)))
        rows += [(f"not at {site}", why) for site, why in found.standing["objections"].items()]
    rows += [("the server logged", reason) for reason in found.reasons]
    print_table(("of the job", "by the server's word"), rows)
    return 0


def _follow(session: Any, job_id: str, args: argparse.Namespace) -> int:
    from fedbrats.run_folder import COMPLETED

    name = str(session.get_job_meta(job_id).get("name") or job_id)
    status = follow_job(session, job_id, name, args.kit)
    if args.json:
        print_json({"job_id": job_id, "status": status})
    return 0 if status == COMPLETED else 1


def _logs(session: Any, job_id: str, args: argparse.Namespace) -> int:
    from fedbrats.admin.operate.jobs import read_log
    from fedbrats.outside import show

    lines = [show(line, longest=4000) for line in read_log(session, job_id)[-args.lines :]]
    if args.json:
        print_json({"job_id": job_id, "lines": lines})
    for line in () if args.json else lines:
        print_line(line)
    return 0


def _abort(session: Any, job_id: str, args: argparse.Namespace) -> int:
    from fedbrats.admin.operate.jobs import abort, is_over

    status = abort(session, job_id)
    if args.json:
        print_json({"job_id": job_id, "status": status})
    elif is_over(status):
        print_line(f"{job_id}: {status}")
    else:
        print_line(f"{job_id}: the server was asked to abort it, and it is {status} still; `fedbrats job show` tells")
    return 0
