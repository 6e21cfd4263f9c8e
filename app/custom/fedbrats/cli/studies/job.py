"""Build and list FLARE jobs, advise timeouts for them, and look after those of a consortium.

A built job is `app/` with the files of `jobs/<name>/` laid over it. Submit the folder that `build` prints with FLARE's
admin console or with `nvflare job submit -j FOLDER`; `fedbrats poc run` builds and submits in one step.

`show`, `follow`, `logs` and `abort` ask a consortium's server about one job, with a person's kit, and `list
--consortium` about all. Everybody may see the jobs. Only the submitter and the project admin may see a
job's log; they and the IT of the submitter's organisation may abort it.

example:
  fedbrats job list
  fedbrats job list fedavg                     # its variables, for --set: type, bounds, default and meaning
  fedbrats job build fedavg --set num_rounds=5 --set local_steps=20
  fedbrats job build fedavg --with-code        # for sites where fedbrats is not installed and that accept code
  fedbrats job build evaluate --models results/fedavg results/fedper
  fedbrats job list fedavg --set aggregator=mine.FedAvgM    # with the arguments of a class of your own
  fedbrats job extension mine                  # the line for `extensions` in a consortium's project.yml
  fedbrats job timeouts fedavg --mbit 20 --results results/fedavg-20260101-120000
  fedbrats job list --consortium --kit lead@university.example
  fedbrats job follow 18f294b6-815c-47c5-b35f-0d74ab09547e --kit lead@university.example
  fedbrats job abort 18f294b6-815c-47c5-b35f-0d74ab09547e --kit lead@university.example
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.api.jobs import check_harm, check_jobs, wrong_arguments
from fedbrats.cli.arguments import number, run_path
from fedbrats.cli.job_arguments import (
    add_set_argument,
    read_settings,
    tell_misfits_of_jobs,
)
from fedbrats.cli.output import print_json, print_line, print_table
from fedbrats.cli.studies.running import add_running_arguments, list_of_consortium, run_running

if TYPE_CHECKING:
    from fedbrats.jobs.build import JobSource
    from fedbrats.settings import Declaration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions."""
    names = "build|list|timeouts|extension|show|follow|logs|abort"
    actions = parser.add_subparsers(dest="action", metavar=names, required=True)
    build = actions.add_parser("build", help="write job folders that can be submitted")
    build.add_argument(
        "names", nargs="*", metavar="JOB", help="names of jobs, as `fedbrats job list` shows them (default: all)"
    )
    build.add_argument("--out", type=Path, default=Path("build/jobs"), help="parent folder (default: build/jobs)")
    build.add_argument("--name", help="name of the built job (default: the job's)")
    build.add_argument("--with-code", action="store_true", help="put the fedbrats package into the job (BYOC)")
    add_set_argument(build)
    add_models_argument(build)
    build.add_argument("--json", action="store_true", help="print one JSON document")
    listing = actions.add_parser("list", help="show the jobs, or the variables of one job")
    listing.add_argument("name", nargs="?", metavar="JOB", help="show what --set can change of this job")
    listing.add_argument("--consortium", action="store_true", help="show the jobs that a consortium's server knows")
    listing.add_argument("--kit", type=Path, help="with --consortium: startup kit of a person")
    add_set_argument(listing)
    listing.add_argument("--json", action="store_true", help="print one JSON document")
    timeouts = actions.add_parser("timeouts", help="advise timeouts from the model's size and a measured round")
    timeouts.add_argument("name", metavar="JOB")
    timeouts.add_argument("--mbit", type=number, required=True, help="network speed of the slowest hospital in Mbit/s")
    round_time = timeouts.add_mutually_exclusive_group(required=True)
    round_time.add_argument("--results", type=run_path, help="results of an earlier job; its slowest round is taken")
    round_time.add_argument("--round-seconds", type=number, help="seconds of a round of the slowest hospital, if known")
    add_set_argument(timeouts)
    timeouts.add_argument("--json", action="store_true", help="print one JSON document")
    extension = actions.add_parser("extension", help="print the line by which a consortium lists a package of your own")
    extension.add_argument("package", metavar="PACKAGE", help="as Python imports it; it must be installed")
    extension.add_argument("--json", action="store_true", help="print one JSON document")
    add_running_arguments(actions)


def add_models_argument(parser: argparse.ArgumentParser) -> None:
    """Declare --models, for the job that evaluates them."""
    parser.add_argument(
        "--models",
        nargs="+",
        action="extend",
        default=[],
        type=run_path,
        metavar="RESULTS",
        help="for the job evaluate: results folders, or model files in them, that every site scores",
    )


def run(args: argparse.Namespace) -> int:
    """Build, list, advise, or ask a server."""
    if args.action in ("show", "follow", "logs", "abort"):
        return run_running(args)
    from fedbrats.errors import ArgumentError
    from fedbrats.jobs.build import build_job, list_jobs

    if args.action == "extension":
        return _print_extension(args)
    if args.action == "list":
        if args.consortium or args.kit:
            return _list_of_consortium(args)
        return _list_variables(args) if args.name else _list_jobs(list_jobs(), args.json)
    settings = read_settings(args)
    if args.action == "timeouts":
        return _advise(args, settings)
    names = args.names or [job.name for job in list_jobs() if not job.needs_models]
    check_jobs(names, settings)
    if args.name and len(names) > 1:
        raise ArgumentError("--name is of one job; name the job too")
    tell_misfits_of_jobs("job build", names, settings)
    with wrong_arguments():
        folders = {
            name: build_job(name, args.out, settings, with_code=args.with_code, models=args.models, called=args.name)
            for name in names
        }
    if args.json:
        print_json({"jobs": {name: str(folder) for name, folder in folders.items()}})
    else:
        for folder in folders.values():
            print_line(folder)
    return 0


def _print_extension(args: argparse.Namespace) -> int:
    """Print version, hash and classes of an installed package."""
    from fedbrats.extensions.packages import find_package

    package = find_package(args.package)
    if args.json:
        print_json(package.as_json())
    else:
        print_line(package.line)
    return 0


def _list_of_consortium(args: argparse.Namespace) -> int:
    """Show the jobs of a server. Raises: ArgumentError where it is not clear which list is meant."""
    from fedbrats.errors import ArgumentError

    if not (args.consortium and args.kit) or args.name or args.settings:
        raise ArgumentError("`fedbrats job list --consortium --kit KIT` shows a consortium's jobs, and takes no other")
    return list_of_consortium(args)


def _list_jobs(jobs: Sequence[JobSource], as_json: bool) -> int:
    """Show every job."""
    if as_json:
        print_json({"jobs": [{"name": job.name, "description": job.description} for job in jobs]})
    else:
        print_table(("job", "what it is"), [(job.name, job.description) for job in jobs])
    return 0


def _list_variables(args: argparse.Namespace) -> int:
    """Show what --set can change of one job, and the constants of a variable that is a table."""
    from fedbrats.jobs.build import find_job, job_variables
    from fedbrats.jobs.named_classes import describe_arguments
    from fedbrats.jobs.settings import describe, sub_tables

    with wrong_arguments():
        values = job_variables(find_job(args.name), read_settings(args))
    own = [describe(name, value) for name, value in sorted(values.items())]
    below = {name: list(inner.values()) for name, inner in sub_tables().items() if name in values}
    classes = describe_arguments(values)
    if args.json:
        below |= {variable: declared for (variable, _), declared in classes.items()}
        tables = {name: _as_document(declared) for name, declared in below.items()}
        print_json({"job": args.name, "variables": _as_document(own), "tables": tables})
        return 0
    columns = ("variable", "default", "what it takes", "what it is")
    print_table(columns, map(_row, own), title=f"{args.name}: what --set NAME=VALUE changes")
    for name, declared in below.items():
        print_table(columns, map(_row, declared), title=f"{name}: what --set '{name}={{\"NAME\": VALUE}}' changes")
    for (variable, path), declared in classes.items():
        print_table(columns, map(_row, declared), title=f"{path}: what --set {variable}.NAME=VALUE changes")
    return 0


def _row(declared: Declaration) -> tuple[str, str, str, str]:
    return declared.name, json.dumps(declared.default), declared.expected, declared.meaning


def _as_document(declared: Sequence[Declaration]) -> dict[str, Any]:
    """Declarations by name, as JSON."""
    return {each.name: {key: value for key, value in asdict(each).items() if key != "name"} for each in declared}


def _advise(args: argparse.Namespace, settings: dict[str, Any]) -> int:
    """Print the table of timeouts for a job."""
    from fedbrats.jobs.plan import read_plan
    from fedbrats.jobs.timeouts import advise, measured_round
    from fedbrats.model.network import SegmentationNetwork

    with wrong_arguments():
        plan = read_plan(args.name, settings)
    model_bytes = sum(value.nbytes for value in SegmentationNetwork(**plan.network).state_dict().values())
    round_s = measured_round(args.results) if args.results else args.round_seconds
    table = list(advise(plan.variables, model_bytes, args.mbit, round_s))
    if args.json:
        print_json({"model_bytes": model_bytes, "round_s": round_s, "timeouts": [asdict(row) for row in table]})
        return 0
    now = [None if row.now is None else f"{row.now:g}" for row in table]
    rows = [(row.setting, row.where, at, row.advised, row.waits) for row, at in zip(table, now, strict=True)]
    title = f"{args.name}: {model_bytes / 1e6:.1f} MB at {args.mbit:g} Mbit/s, slowest round {round_s:.0f} s"
    print_table(("setting", "where", "now, s", "advised, s", "waits for"), rows, title=title)
    return 0


def add_trouble_argument(parser: argparse.ArgumentParser) -> None:
    """Declare --misbehave, for commands that run a federation of their own."""
    parser.add_argument(
        "--misbehave",
        action="append",
        default=[],
        metavar="SITE=KIND",
        help="for experiments: let a site do harm (noise, zero, sign-flip, scaled, nan, absurd-cases, copy:SITE, "
        "drift, alie, inner-product, free-rider, colluding, "
        "shuffled-labels, swapped-labels, missing-modality, exchanged-modalities, flipped-anatomy); repeatable",
    )


def read_misbehaviour(words: list[str], sites_dir: Path) -> dict[str, str]:
    """What each site does wrong, by its name. Raises: ConfigurationError for a site or a kind that does not exist."""
    return check_harm({site: kind for site, _, kind in (word.partition("=") for word in words)}, sites_dir)
