"""What every command that builds or imitates a job understands alike: --set, --plan, and warnings of misfits."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedbrats.api import jobs
from fedbrats.api.jobs import wrong_arguments
from fedbrats.api.progress import Watch, duration
from fedbrats.cli.progress import say, show_sentence
from fedbrats.errors import ArgumentError

PLAN_FORMAT = "fedbrats plan 1"
MOST_PLAN = 2**20  # bytes; that of a hundred sites has 40,000


def add_set_argument(parser: argparse.ArgumentParser) -> None:
    """Declare --set and --plan."""
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change a variable at the top of the job's configuration; repeatable; an unknown name is refused",
    )
    parser.add_argument(
        "--plan", type=Path, metavar="FILE", help="take variables from a file of `fedbrats plan`; --set comes after it"
    )


def read_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The variables of --plan, and those of --set over them. Raises: ArgumentError."""
    from fedbrats.jobs.build import parse_settings

    with wrong_arguments():
        return {**(_read_planned(args.plan) if args.plan else {}), **parse_settings(args.settings)}


def as_words(settings: Mapping[str, Any]) -> list[str]:
    """Settings as words of --set."""
    return [f"{name}={json.dumps(value)}" for name, value in settings.items()]


def tell_misfits_of_jobs(
    command: str, names: Sequence[str], settings: Mapping[str, Any], folders: Sequence[Path] = ()
) -> None:
    """Warn where voxel size and patch of jobs do not fit the scans of these sites, or each other."""
    jobs.tell_misfits_of_jobs(Watch(show_sentence), command, names, settings, folders)


def tell_minutes(args: argparse.Namespace, command: str, values: Mapping[str, Any], sites_dir: Path) -> None:
    """Say before a run on this machine how long it will take, by the plan that was given, or who says it."""
    from fedbrats.data.cases.datalist import find_sites, read_datalist
    from fedbrats.data.parallel import count_cores
    from fedbrats.jobs.estimate import START_S, Cost, Work, seconds_of_job
    from fedbrats.model.settings import TrainingSettings

    found = _read_plan(args.plan).get("estimate", {}) if args.plan else {}
    try:
        cost = Cost(*(float(found[name]) for name in ("step_s", "score_s", "prepare_s")))
    except (KeyError, TypeError, ValueError):
        say(f"{command}: the first round will show how long it takes; `fedbrats plan {sites_dir}` says it before a run")
        return
    about = {name: values[name] for name in ("local_steps", "local_epochs", "batch_size") if name in values}
    settings, lists = TrainingSettings(**about), [read_datalist(site) for site in find_sites(sites_dir)]
    works = [Work(len(x.training), len(x.validation), settings.steps_per_round(len(x.training))) for x in lists]
    seconds = seconds_of_job(cost, works, values, count_cores(), START_S[command])
    say(f"{command}: {values['num_rounds']} rounds will take about {duration(seconds)}, by {args.plan}")


def _read_planned(path: Path) -> dict[str, Any]:
    variables = _read_plan(path).get("variables")
    if not isinstance(variables, dict):
        raise ArgumentError(f"--plan: {path} has no variables; make it anew with `fedbrats plan`")
    return variables


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_PLAN:
            raise ArgumentError(f"--plan: {path} has more than {MOST_PLAN} bytes, and is no plan")
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArgumentError(f"--plan: cannot read {path}: {error}") from None
    if not isinstance(document, dict) or document.get("format") != PLAN_FORMAT:
        raise ArgumentError(f"--plan: {path} is no plan; `fedbrats plan DATA --out {path}` writes one")
    return document
