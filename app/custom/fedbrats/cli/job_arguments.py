"""What every command that builds or imitates a job understands alike: --set, --plan, and warnings of misfits."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedbrats.cli.progress import duration, say
from fedbrats.errors import ArgumentError, ConfigurationError, FedbratsError

PLAN_FORMAT = "fedbrats plan 1"


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


@contextmanager
def wrong_arguments() -> Iterator[None]:
    """Turn what a job's own rules refuse into wrong arguments, which they are where a person gave them."""
    try:
        yield
    except ConfigurationError as error:
        raise ArgumentError(str(error)) from error


def check_jobs(names: Sequence[str], settings: Mapping[str, Any]) -> None:
    """Refuse, before anything starts, what --set cannot mean. Raises: ArgumentError."""
    from fedbrats.jobs.build import list_jobs

    if settings or {*names} - {job.name for job in list_jobs()}:
        from fedbrats.jobs.plan import check_settings

        with wrong_arguments():
            for name in names:
                check_settings(name, settings)


def tell_misfits(command: str, values: Mapping[str, Any], folders: Sequence[Path] = ()) -> None:
    """Warn where a job's voxel size and patch do not fit the scans of these sites, or each other."""
    from fedbrats.jobs.proposal import misfits

    for text in misfits(values, [found for folder in folders for found in _spacings(folder)]):
        say(f"{command}: warning: {text}")


def tell_misfits_of_jobs(
    command: str, names: Sequence[str], settings: Mapping[str, Any], folders: Sequence[Path] = ()
) -> None:
    """The same for jobs that are not built yet, each sentence once."""
    from fedbrats.jobs.build import find_job, job_variables

    told: list[dict[str, Any]] = []
    for name in names:
        values = job_variables(find_job(name), settings)
        about = {key: values.get(key) for key in ("spacing_mm", "patch_size", "volume_shape")}
        if about not in told:
            told.append(about)
            tell_misfits(command, values, folders)


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


def _spacings(folder: Path) -> Iterator[Sequence[float]]:
    """The voxel size of one scan of each site; nothing of a folder that whoever trains on it will refuse."""
    from fedbrats.data.cases.datalist import DATALIST_NAME, find_sites, read_datalist
    from fedbrats.data.fingerprint import spacing_of

    try:
        for site in [folder] if (folder / DATALIST_NAME).is_file() else find_sites(folder):
            if (cases := read_datalist(site).training) and (found := spacing_of(cases[0])) is not None:
                yield found
    except FedbratsError:
        return


def _read_planned(path: Path) -> dict[str, Any]:
    variables = _read_plan(path).get("variables")
    if not isinstance(variables, dict):
        raise ArgumentError(f"--plan: {path} has no variables; make it anew with `fedbrats plan`")
    return variables


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArgumentError(f"--plan: cannot read {path}: {error}") from None
    if not isinstance(document, dict) or document.get("format") != PLAN_FORMAT:
        raise ArgumentError(f"--plan: {path} is no plan; `fedbrats plan DATA --out {path}` writes one")
    return document
