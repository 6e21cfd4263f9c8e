"""Run jobs in a real FLARE POC federation on this machine: a server and one process per site, with certificates.

`run` does everything: it prepares the federation for the sites of a data folder, starts it, submits the jobs one after
the other, shows their progress, collects their results, and stops what it started. `up`, `submit`, `status`, `restart`,
`down` go step by step; between them the federation is FLARE's own, open to its admin console.

--json of `run` and `submit` prints summary.json of each results folder: the scores, and findings, what `fedbrats split`
found of the cases.

example:
  fedbrats phantom sites --sites 3 --cases 6
  fedbrats poc run fedavg --data sites --set num_rounds=3
  fedbrats poc up --data sites && fedbrats poc submit fedavg && fedbrats poc down
  fedbrats poc run evaluate --data sites --models results/fedavg results/fedper
  fedbrats poc restart && fedbrats poc submit --resume 0a1b2c3d-4e5f-6789-abcd-ef0123456789
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.api.findings import add_to_summary
from fedbrats.api.jobs import check_jobs, tell_packages, wrong_arguments
from fedbrats.api.models import POC_WORKSPACE
from fedbrats.api.progress import Watch
from fedbrats.cli.cases.findings import tell_recorded
from fedbrats.cli.job_arguments import (
    add_set_argument,
    read_settings,
    tell_minutes,
    tell_misfits_of_jobs,
)
from fedbrats.cli.output import print_json, print_line, print_table
from fedbrats.cli.progress import (
    RoundLines,
    never_silent,
    print_documents,
    rounds_done,
    say,
    show_sentence,
    this_command,
)
from fedbrats.cli.studies.job import (
    add_models_argument,
    add_trouble_argument,
    read_misbehaviour,
)
from fedbrats.data.check.problems import FINDINGS
from fedbrats.data.check.recorded import as_documents

if TYPE_CHECKING:
    from fedbrats.admin.run.poc import Poc
    from fedbrats.data.check.problems import Problem


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare run, up, submit, status, restart and down."""
    actions = parser.add_subparsers(dest="action", metavar="run|up|submit|status|restart|down", required=True)
    run = actions.add_parser("run", help="prepare, start, run jobs, collect results, stop")
    up = actions.add_parser("up", help="prepare and start a federation, and leave it running")
    submit = actions.add_parser("submit", help="run jobs in the federation that is up")
    status = actions.add_parser("status", help="show the sites and jobs of the federation that is up")
    restart = actions.add_parser("restart", help="restart a server or a site that has died; jobs and certificates stay")
    down = actions.add_parser("down", help="stop every process of the federation")
    for action in (run, submit):
        many = "+" if action is run else "*"
        action.add_argument(
            "jobs", nargs=many, metavar="JOB", help="jobs, as `fedbrats job list` shows them, or their folders"
        )
        action.add_argument("--name", help="name of the run, in its results and in the report (default: the job's)")
        action.add_argument("--results", type=Path, default=Path("results"), help="parent folder of results")
        add_set_argument(action)
        add_models_argument(action)
    submit.add_argument("--resume", metavar="JOB_ID", help="continue this job after its last finished round")
    for action in (run, up):
        action.add_argument(
            "--data",
            type=Path,
            required=True,
            metavar="SITES_DIR",
            help="sites folder of `fedbrats split` or `phantom`",
        )
        action.add_argument("--cache", type=Path, help="folder of prepared cases (default: in the workspace)")
        add_trouble_argument(action)
        action.add_argument("--mlflow", metavar="URI", help="send training curves to this MLflow server too")
        action.add_argument("--threads", type=int, help="CPU threads per site (default: cores divided by sites)")
    for action in (run, up, submit, status, restart, down):
        action.add_argument("--workspace", type=Path, default=POC_WORKSPACE, help=f"(default: {POC_WORKSPACE})")
        action.add_argument("--json", action="store_true", help="end with one JSON document per job, each on one line")


def run(args: argparse.Namespace) -> int:
    """Dispatch to the action."""
    actions = {"run": _run, "up": _up, "submit": _submit, "status": _status, "restart": _restart, "down": _down}
    return actions[args.action](args)


def _run(args: argparse.Namespace) -> int:
    from fedbrats.admin.run.processes import stop

    with _jobs_folder() as folder:
        jobs = _build_jobs(args, folder, [args.data])  # a wrong name or variable is found before anything is started
        poc, findings = _prepare_and_start(args, args.jobs)
        try:
            documents = _run_jobs(args, poc, jobs, findings)
        finally:
            stop(args.workspace)
    print_documents(documents, as_json=args.json)
    return 0


def _up(args: argparse.Namespace) -> int:
    poc, findings = _prepare_and_start(args)
    if args.json:
        about = {"workspace": str(poc.workspace), "admin_kit": str(poc.admin_kit), "sites": list(poc.sites)}
        print_json({**about, FINDINGS: as_documents(findings)})
    else:
        print_line(
            f"The federation is up: {len(poc.sites)} sites. FLARE's admin console: {poc.admin_kit}/startup/fl_admin.sh"
        )
    return 0


def _submit(args: argparse.Namespace) -> int:
    from fedbrats.errors import ArgumentError

    if bool(args.jobs) == bool(args.resume):
        raise ArgumentError("name jobs to submit, or give --resume and the id of the job to continue")
    if args.resume and args.models:
        raise ArgumentError("--models belongs to a job that is built; one that is resumed keeps its own")
    poc = _open_running(args.workspace)
    with _jobs_folder() as folder:
        jobs = [_build_resumed(args, poc, folder)] if args.resume else _build_jobs(args, folder, poc.data_dirs)
        documents = _run_jobs(args, poc, jobs, tell_recorded("poc", poc.data_dirs))
    print_documents(documents, as_json=args.json)
    return 0


def _status(args: argparse.Namespace) -> int:
    from fedbrats.admin.run.sessions import admin_session

    poc = _open_running(args.workspace)
    with admin_session(poc.admin_kit) as session:
        connected = {client.name for client in session.get_system_info().client_info}
        jobs = session.list_jobs()
    if args.json:
        print_json({"sites": {name: name in connected for name in poc.sites}, "jobs": jobs})
        return 0
    print_table(("site", "connected"), [(name, "yes" if name in connected else "no") for name in poc.sites])
    print_table(("job", "id", "status"), [(job["job_name"], job["job_id"], job["status"]) for job in jobs])
    return 0


def _restart(args: argparse.Namespace) -> int:
    from fedbrats.admin.run.poc import open_poc, restart

    names = restart(open_poc(args.workspace))
    if args.json:
        print_json({"started": names})
    else:
        print_line(f"started again: {', '.join(names)}" if names else "every process is running")
    return 0


def _down(args: argparse.Namespace) -> int:
    from fedbrats.admin.run.processes import stop

    count = stop(args.workspace)
    if args.json:
        print_json({"stopped": count})
    else:
        print_line(f"{count} processes stopped" if count else "no process was running")
    return 0


def _open_running(workspace: Path) -> Poc:
    """The POC of a workspace. Raises: FedbratsError where it is down; FLARE would try for a while and say less."""
    from fedbrats.admin.run.poc import open_poc
    from fedbrats.admin.run.processes import is_running
    from fedbrats.errors import FedbratsError

    poc = open_poc(workspace)
    if not is_running(workspace):
        raise FedbratsError(
            f"the POC in {workspace} is not running; start it again with `fedbrats poc restart`, or a new one, without "
            f"its jobs, with `fedbrats poc up`"
        )
    return poc


def _prepare_and_start(args: argparse.Namespace, jobs: Sequence[str] = ()) -> tuple[Poc, list[Problem]]:
    """The running federation, and what is on record of its cases; says before how long these jobs will take there."""
    from fedbrats.admin.run import poc as federation

    facts: dict[str, Any] = {"threads": args.threads} if args.threads else {}
    try:
        findings = tell_recorded("poc", [args.data])
        misbehaviour = read_misbehaviour(args.misbehave, args.data)
        say("preparing the federation")
        with never_silent("poc"):
            poc = federation.prepare(
                args.workspace,
                args.data,
                site_facts=facts,
                cache_dir=args.cache,
                mlflow_uri=args.mlflow,
                misbehaviour=misbehaviour,
            )
        for name in jobs:
            tell_minutes("poc", name, read_settings(args), [args.data], args.plan)
        say(f"starting the server and {len(poc.sites)} sites: {', '.join(poc.sites)}")
        with never_silent("poc"):
            federation.start(poc)
    except (KeyboardInterrupt, SystemExit):
        say(f"poc: stopped before a job began, so there is nothing to keep; begin again with: {this_command()}")
        raise
    return poc, findings


@contextlib.contextmanager
def _jobs_folder() -> Iterator[Path]:
    """A folder for the jobs of this command alone.

    They wait there while the jobs before them run, and nobody else may build into it meanwhile. The workspace will not
    do: it is cleared after the jobs were built.
    """
    with tempfile.TemporaryDirectory(prefix="fedbrats-jobs-") as folder:
        yield Path(folder)


def _build_jobs(args: argparse.Namespace, folder: Path, folders: Sequence[Path]) -> list[Path]:
    """Build the jobs of the command into `folder`; folders: of the sites' cases."""
    from fedbrats.errors import ArgumentError
    from fedbrats.jobs.build import build_job

    settings = read_settings(args)
    check_jobs(args.jobs, settings)
    if args.name and len(args.jobs) > 1:
        raise ArgumentError("--name is of one job, and several are given")
    tell_misfits_of_jobs("poc", args.jobs, settings, folders)
    with wrong_arguments():
        jobs = [build_job(name, folder, settings, models=args.models, called=args.name) for name in args.jobs]
    tell_packages(Watch(show_sentence), jobs)
    return jobs


def _build_resumed(args: argparse.Namespace, poc: Poc, folder: Path) -> Path:
    from fedbrats.admin.run.remote import resumed_job
    from fedbrats.admin.run.sessions import person_session

    with person_session(poc.admin_kit) as session:
        return resumed_job(session, poc.admin_kit, args.resume, folder, read_settings(args))


def _run_jobs(
    args: argparse.Namespace, poc: Poc, jobs: list[Path], findings: Sequence[Problem]
) -> list[dict[str, Any]]:
    from fedbrats.admin.run.runs import run_job
    from fedbrats.admin.run.sessions import admin_session
    from fedbrats.run_folder import new_run

    documents = []
    with admin_session(poc.admin_kit) as session:
        for job_dir in jobs:
            results = new_run(args.results, job_dir.name)
            say(f"{job_dir.name}: follow it with `fedbrats report {results} --live`")
            submitted: list[str] = []
            try:
                with never_silent(job_dir.name):
                    document = run_job(
                        poc, session, job_dir, results, on_progress=RoundLines(), on_submitted=submitted.append
                    )
            except (KeyboardInterrupt, SystemExit):
                _say_what_was_kept(args, job_dir.name, submitted, results)
                raise
            documents.append(add_to_summary(document, findings))
    return documents


def _say_what_was_kept(args: argparse.Namespace, job: str, submitted: Sequence[str], results: Path) -> None:
    """For a person who has stopped a job: what there is of it, and the commands that go on."""
    rounds = rounds_done(results)
    if not submitted or not rounds:
        say(f"{job}: stopped before the end of a round, so nothing was kept; begin again with: {this_command()}")
        return
    at = [] if args.workspace == POC_WORKSPACE else ["--workspace", str(args.workspace)]
    where = [] if args.results == Path("results") else ["--results", str(args.results)]
    begin = [shlex.join(["fedbrats", "poc", "restart", *at])] if args.action == "run" else []
    go_on = shlex.join(["fedbrats", "poc", "submit", "--resume", submitted[0], *at, *where])
    say(
        f"{job}: stopped after round {rounds}; the models of that round stay in {args.workspace}, and the rows so far "
        f"in {results}"
    )
    say(f"{job}: go on with: {' && '.join([*begin, go_on])}")
