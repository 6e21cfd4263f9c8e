"""What every command that builds or imitates a job understands alike: --set, --plan, and warnings of misfits."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.api import jobs
from fedbrats.api.jobs import wrong_arguments
from fedbrats.api.progress import Watch, duration
from fedbrats.cli.progress import never_silent, say, show_sentence
from fedbrats.errors import ArgumentError, ConfigurationError, FedbratsError

if TYPE_CHECKING:
    from fedbrats.data.cases.case import Case
    from fedbrats.jobs.estimate import Cost, Parts, Way

PLAN_FORMAT = "fedbrats plan 1"
MOST_PLAN = 2**20  # bytes; that of a hundred sites has 40,000
WORTH_MEASURING_S = 120.0  # of a job on a usual machine; a shorter one is done soon
BUSY = 0.9  # share of the cores below which other programs are named


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


def tell_minutes(
    command: Way, job: str, settings: Mapping[str, Any], folders: Sequence[Path], planned: Path | None = None
) -> None:
    """Say before a run on this machine how long it will take.

    Costs are those of the plan that is given. Without one, those of a usual machine tell a job of minutes from a short
    one, and for a federated job of minutes some steps are measured, which takes about ten seconds. What can be refused
    in less time is for the caller to refuse before.

    Args:
        job: its name or folder; of one that trains nothing, nothing is said.
        folders: sites, or folders of sites.
        planned: the file of the plan.
    """
    from fedbrats.data.cases.datalist import read_datalist, site_folders
    from fedbrats.data.parallel import count_cores
    from fedbrats.jobs.build import find_job, job_variables
    from fedbrats.jobs.estimate import Cost, Work, parts_in_one_place, parts_of_job, usual_cost
    from fedbrats.model.settings import TrainingSettings

    if "num_rounds" not in (values := job_variables(find_job(job), settings)):
        return
    about = {name: values[name] for name in ("local_steps", "local_epochs", "batch_size") if name in values}
    training, lists = TrainingSettings(**about), [read_datalist(site) for site in site_folders(folders)]
    works = [Work(len(x.training), len(x.validation), training.steps_per_round(len(x.training))) for x in lists]

    def parts(cost: Cost) -> Parts:
        if command == "train":
            return parts_in_one_place(cost, works, values, count_cores())
        return parts_of_job(cost, works, values, count_cores(), command)

    rounds = int(values["num_rounds"])
    job_is = f"{command}: {rounds} round{'s' * (rounds != 1)} will take"
    try:
        found = parts(Cost.of_document(_read_plan(planned).get("estimate", {}))) if planned else None
    except ConfigurationError:
        found = None
    if found:
        say(f"{job_is} about {duration(found.total_s)}, by {planned}")
        return
    usual = parts(usual_cost(values)).total_s
    if command == "train" or usual < WORTH_MEASURING_S:
        say(f"{job_is} about {duration(usual)} on a usual computer; other programs make it longer")
        return
    say(f"{command}: measuring some steps to say how long it will take; this takes some seconds")
    with never_silent(command):
        cost = _measured(job, settings, [each.training for each in lists])
    if cost is None:
        say(f"{command}: the first round will show how long it takes")
        return
    found, others = parts(cost), ""
    if cost.share < BUSY:
        others = f"; other programs take {1 - cost.share:.0%} of this machine now, and less means sooner"
    say(f"{job_is} about {duration(found.total_s)}, {duration(found.prepare_s)} of it to prepare cases{others}")


def _measured(job: str, settings: Mapping[str, Any], sites: Sequence[Sequence[Case]]) -> Cost | None:
    """The costs of training on these sites' cases here; None where no case can be used, which others will say."""
    from fedbrats.admin.run.calibration import measure
    from fedbrats.data.parallel import count_cores
    from fedbrats.jobs.plan import read_plan

    sites, cores = [cases for cases in sites if cases], count_cores()
    if not sites:
        return None
    threads = max(1, cores // len(sites))
    processes = min(len(sites), cores // threads)
    try:
        plan = read_plan(job, settings)
        return measure(plan, sites, device="auto", threads=threads, processes=processes).cost
    except FedbratsError:
        return None


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
