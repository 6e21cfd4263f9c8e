"""What a job is checked for before it starts, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedbrats.api.progress import Watch
from fedbrats.errors import ArgumentError, ConfigurationError, FedbratsError


def name_of_run(job: str, called: str | None) -> str:
    """The name of a run of a job: the one that it was given, or the job's."""
    from fedbrats.jobs.build import find_job

    return called or find_job(job).name


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


def tell_packages(watch: Watch, job_dirs: Iterable[Path]) -> None:
    """Say what packages beside fedbrats jobs will run here. Raises: ConfigurationError where one is not installed."""
    from fedbrats.jobs.build import read_variables
    from fedbrats.jobs.named_classes import packages_named

    lines = {package.line for job_dir in job_dirs for package in packages_named(read_variables(job_dir))}
    for line in sorted(lines):
        watch.say(f"this run has code of {line}; in production a consortium would have to list it")


def check_harm(kinds: Mapping[str, str], sites_dir: Path) -> dict[str, str]:
    """What each site does wrong, by its name. Raises: ConfigurationError for a site or a kind that does not exist."""
    from fedbrats.data.cases.datalist import find_sites
    from fedbrats.misbehaviour.kinds import check_misbehaviour

    names = [site.name for site in find_sites(sites_dir)]
    for site in kinds:
        if site not in names:
            raise ConfigurationError(f"--misbehave: there is no site {site!r}; there are: {', '.join(names)}")
    return check_misbehaviour(kinds)


def tell_misfits(watch: Watch, command: str, values: Mapping[str, Any], folders: Sequence[Path] = ()) -> None:
    """Warn where a job's voxel size and patch do not fit the scans of these sites, or each other."""
    from fedbrats.jobs.proposal import misfits

    for text in misfits(values, [found for folder in folders for found in _spacings(folder)]):
        watch.warn(f"{command}: warning: {text}")


def tell_misfits_of_jobs(
    watch: Watch, command: str, names: Sequence[str], settings: Mapping[str, Any], folders: Sequence[Path] = ()
) -> None:
    """The same for jobs that are not built yet, each sentence once."""
    from fedbrats.jobs.build import find_job, job_variables

    told: list[dict[str, Any]] = []
    for name in names:
        values = job_variables(find_job(name), settings)
        about = {key: values.get(key) for key in ("spacing_mm", "patch_size", "volume_shape")}
        if about not in told:
            told.append(about)
            tell_misfits(watch, command, values, folders)


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
