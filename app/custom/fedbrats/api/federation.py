"""Federations on this machine: a method, the sites of a folder, and a seed a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.api.findings import add_to_summary, tell_recorded
from fedbrats.api.jobs import check_harm, check_jobs, name_of_run, tell_misfits_of_jobs, tell_packages, wrong_arguments
from fedbrats.api.progress import Progress, Watch
from fedbrats.api.runs import Run, Study
from fedbrats.errors import ArgumentError

if TYPE_CHECKING:
    from fedbrats.admin.run.following import Progress as JobProgress

SEED = "seed"  # the variable


def federate(
    method: str | Path = "fedavg",
    data: str | Path = "sites",
    *,
    seeds: Iterable[int] = (0,),
    hooks: Sequence[str | type] = (),
    settings: Mapping[str, Any] | None = None,
    name: str | None = None,
    misbehave: Mapping[str, str] | None = None,
    models: Sequence[str | Path] = (),
    results: str | Path = Path("results"),
    cache: str | Path = Path("build/cache"),
    progress: Progress | None = None,
) -> Study:
    """Run a federated job in FLARE's simulator, once with each seed; the sites of a folder take part.

    Models are the same, bit by bit, as those of FLARE's POC mode (`fedbrats poc run`) with as many threads a site.

    Args:
        method: The name of a job, as `fedbrats job list` shows it, or the folder of one of your own.
        data: A sites folder, of `split` or `phantom`.
        seeds: Of the training; one run each.
        hooks: What changes a round at the sites: paths of classes, or classes, of an installed package.
        settings: Variables of the job that differ, such as `{"num_rounds": 3, "aggregator": mine.FedAvgM,
            "aggregator.momentum": 0.9}`; a class stands for its path.
        name: Of the runs, in results and reports; None takes the job's.
        misbehave: Site -> what it does wrong on purpose, as `fedbrats simulate --misbehave`.
        models: For the job `evaluate`: results folders that every site scores.
        results: The parent folder of results.
        cache: The folder of prepared cases.
        progress: Gets a step whenever sites have answered, and warnings about cases.

    Raises: ConfigurationError, before anything starts, for what cannot be run; DataError; FedbratsError where a job
        left no result.

    >>> tiny = {"network": "tiny", "local_steps": 1, "patch_size": [16, 16, 16], "spacing_mm": 8.0, "start": "none"}
    >>> study = federate("fedavg", "sites", settings={**tiny, "num_rounds": 1})
    >>> study.method, len(study), study.runs[0].seed
    ('fedavg', 1, 0)
    >>> federate("fedavg", "sites", settings={"num_rounds": 0})
    Traceback (most recent call last):
    fedbrats.errors.ArgumentError: --set: num_rounds is 0, expected a whole number from 1 to 1000000
    """
    job, sites, watch = str(method), Path(data), Watch(progress)
    numbers = list(seeds)
    if not numbers:
        raise ArgumentError("federate: seeds is empty; give one number a run, such as seeds=[0]")
    own = {key: _plain(value) for key, value in (settings or {}).items()}
    own |= {"hooks": _plain(hooks)} if hooks else {}
    check_jobs([job], own)
    asked: dict[str, Any] = {"name": name, "misbehave": check_harm(misbehave or {}, sites), "cache": Path(cache)}
    asked |= {"models": [Path(model) for model in models]}
    findings = tell_recorded(watch, "federate", [sites])
    tell_misfits_of_jobs(watch, "federate", [job], own, [sites])
    runs = []
    for number in watch.follow(numbers, len(numbers), "federating") if len(numbers) > 1 else numbers:
        folder = _new_folder(Path(results), name_of_run(job, name), number if len(numbers) > 1 else None)
        document = simulate(job, sites, folder, settings={**own, SEED: number}, watch=watch, **asked)
        runs.append(Run.of(add_to_summary(document, findings)))
    return Study(runs[0].job, tuple(runs))


def simulate(
    job: str,
    data: Path,
    results: Path,
    *,
    settings: Mapping[str, Any],
    name: str | None,
    misbehave: Mapping[str, str],
    models: Sequence[Path],
    cache: Path,
    watch: Watch,
    on_progress: Callable[[JobProgress], None] | None = None,
) -> dict[str, Any]:
    """Build one job that was checked, and simulate it; returns its summary. Raises: as `federate`.

    on_progress: is told where the job stands, in place of `watch`.
    """
    from fedbrats.admin.run.simulator import simulate_job
    from fedbrats.jobs.build import build_job

    with wrong_arguments():
        job_dir = build_job(job, results / "job", settings, models=models, called=name)
    tell_packages(watch, [job_dir])
    watch.say(f"{job_dir.name}: follow it with `fedbrats report {results} --live`")
    return simulate_job(
        job_dir,
        data,
        results,
        cache_dir=cache,
        misbehaviour=misbehave,
        models=models,
        on_progress=on_progress or (lambda stand: watch.say(describe_progress(stand))),
    )


def describe_progress(stand: JobProgress) -> str:
    """Where a running job stands, in one line."""
    dice = "" if stand.dice is None else f", Dice {stand.dice:.3f}"
    if not stand.rounds:
        return f"{stand.job}: {stand.sites} sites evaluate"
    if stand.rounds_done == stand.rounds:
        return f"{stand.job}: {stand.rounds} rounds done, evaluating the final model{dice}"
    return (
        f"{stand.job}: round {stand.rounds_done + 1}/{stand.rounds}, "
        f"{stand.answered}/{stand.sites} sites answered{dice}"
    )


def _new_folder(parent: Path, name: str, seed: int | None) -> Path:
    """A results folder that is not there yet: two runs may begin in one second."""
    from fedbrats.run_folder import new_run

    folder = new_run(parent, name if seed is None else f"{name}-seed-{seed}")
    number = 2
    while folder.exists():
        folder = folder.with_name(f"{folder.name.removesuffix(f'.{number - 1}')}.{number}")
        number += 1
    return folder


def _plain(value: Any) -> Any:
    """A setting as JSON has it: a class is its path."""
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, Mapping):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
