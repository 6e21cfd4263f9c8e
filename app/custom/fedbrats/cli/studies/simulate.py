"""Run a job with all its sites in one process: for experiments, with hundreds of sites if need be, and quick tests.

FLARE's runners, filters and controllers run without a network, and sites take turns on the cores. The models are the
same, bit by bit, as those of `fedbrats poc run` with the same settings and as many threads a site.

Rows and results are the same as those of `fedbrats poc run`. --json prints summary.json of the results folder: the
scores, and findings, what `fedbrats split` found of the cases.

example:
  fedbrats phantom sites --sites 3 --cases 6
  fedbrats simulate fedavg --data sites --set num_rounds=3
  fedbrats simulate my/job --data sites --set aggregator=mine.FedAvgM --set aggregator.momentum=0.9 --name momentum
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from fedbrats.api.federation import simulate
from fedbrats.api.findings import add_to_summary
from fedbrats.api.jobs import check_jobs, name_of_run
from fedbrats.api.progress import Watch
from fedbrats.cli.cases.findings import tell_recorded
from fedbrats.cli.job_arguments import (
    add_set_argument,
    read_settings,
    tell_minutes,
    tell_misfits_of_jobs,
)
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("job", metavar="JOB", help="name of a job, as `fedbrats job list` shows it, or a job's folder")
    parser.add_argument("--name", help="name of the run, in its results and in the report (default: the job's)")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="SITES_DIR", help="sites folder of `fedbrats split` or `phantom`"
    )
    parser.add_argument("--results", type=Path, default=Path("results"), help="parent folder of results")
    parser.add_argument("--cache", type=Path, default=Path("build/cache"), help="folder of prepared cases")
    add_set_argument(parser)
    add_models_argument(parser)
    add_trouble_argument(parser)
    parser.add_argument("--json", action="store_true", help="end with one JSON document on standard output")


def run(args: argparse.Namespace) -> int:
    """Build the job, simulate it, report."""
    from fedbrats.admin.run.place import check_place
    from fedbrats.jobs.build import find_job, job_variables
    from fedbrats.jobs.secure import refuse_simulated
    from fedbrats.run_folder import new_run

    settings = read_settings(args)
    check_jobs([args.job], settings)
    findings = tell_recorded("simulate", [args.data])
    misbehaviour = read_misbehaviour(args.misbehave, args.data)
    tell_misfits_of_jobs("simulate", [args.job], settings, [args.data])
    name = name_of_run(args.job, args.name)
    results = new_run(args.results, name)
    check_place(results)
    refuse_simulated(job_variables(find_job(args.job), settings))
    tell_minutes("simulate", args.job, settings, [args.data], args.plan)
    try:
        with never_silent(name):
            document = simulate(
                args.job,
                args.data,
                results,
                settings=settings,
                name=args.name,
                misbehave=misbehaviour,
                models=args.models,
                cache=args.cache,
                watch=Watch(show_sentence),
                on_progress=RoundLines(),
            )
    except (KeyboardInterrupt, SystemExit):
        _say_what_was_kept(name, results)
        raise
    print_documents([add_to_summary(document, findings)], as_json=args.json)
    return 0


def _say_what_was_kept(job: str, results: Path) -> None:
    """For a person who has stopped it. A simulation does not go on: its sites keep their state in memory."""
    if rounds := rounds_done(results):
        say(f"{job}: stopped after round {rounds}; the rows so far, and models where there are any, are in {results}")
    else:
        shutil.rmtree(results, ignore_errors=True)
        say(f"{job}: stopped before the end of a round; nothing was kept")
    say(f"{job}: a simulation cannot go on; begin it again with: {this_command()}")
