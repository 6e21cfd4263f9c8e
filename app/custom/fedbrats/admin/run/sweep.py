"""Which runs an experiment consists of: methods by splits, folds, seeds and variables."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from fedbrats.errors import ConfigurationError
from fedbrats.jobs.build import find_job, job_variables
from fedbrats.report.numbers.records import CENTRALISED, run_id
from fedbrats.settings import Settings, show, suggest


class SplitOptions(Settings):
    """How the cases are divided among sites, as `fedbrats split` takes it."""

    by: str = "equal"
    """What `--by` takes; the path of a table counts from the folder of the sweep file."""
    sites: int | None = Field(None, ge=1)
    """The number of sites."""
    folds: int = Field(3, ge=2)
    """The number of folds."""
    seed: int = Field(0, ge=0)
    """The seed of the division, the same whatever the seed of the training."""


class Sweep(Settings):
    """A sweep file."""

    methods: list[str] = Field(min_length=1)
    """Names of jobs, and `centralised`."""
    splits: dict[str, dict[str, Any]] = Field(min_length=1)
    """The splits by name, each a table of SplitOptions."""
    folds: list[int] = Field([0], min_length=1)
    """The folds that are held out, one a run."""
    seeds: list[int] = Field([0], min_length=1)
    """The seeds of the training, one a run."""
    variables: dict[str, Any] = {}  # noqa: RUF012
    """Variables of every run."""
    of_method: dict[str, dict[str, Any]] = {}  # noqa: RUF012
    """Variables of the runs of one method, by its name."""
    variants: list[dict[str, Any]] = Field([{}], min_length=1)
    """Tables of variables, one a run."""
    left_out: list[str] = [""]  # noqa: RUF012
    """Sites that are left out and tested on, one a run; an empty name leaves none out."""
    misbehave: list[str] = [""]  # noqa: RUF012
    """SITE=KIND, what a site does wrong, one a run; two sites as SITE=KIND,SITE=KIND; empty where all are honest."""
    engine: Literal["simulate", "poc"] = "simulate"
    """Where federated methods run: in FLARE's simulator, or in POC as hospitals run."""


@dataclass(frozen=True)
class Run:
    """One training, and what is asked of it."""

    split: str
    fold: int
    seed: int
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    left_out: str | None = None
    misbehaviour: Mapping[str, str] = field(default_factory=dict)
    engine: str = "simulate"

    @property
    def about(self) -> dict[str, Any]:
        """Everything that makes it another run."""
        return asdict(self)

    @property
    def name(self) -> str:
        """For people and folders."""
        words = [self.split, f"fold {self.fold}", f"seed {self.seed}", self.method]
        words += [f"without {self.left_out}"] if self.left_out else []
        words += [f"{site}={kind}" for site, kind in self.misbehaviour.items()]
        return ", ".join(words)

    @property
    def id(self) -> str:
        """As in the line that it leaves."""
        return run_id(self.about)


def read_sweep(path: Path) -> Sweep:
    """A sweep file, JSON. Raises: ConfigurationError naming the file and what is wrong."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read the sweep file {path}: {error}") from None
    sweep = Sweep.read(document, str(path))
    for name, options in sweep.splits.items():
        SplitOptions.read(options, f"{path}: splits: {name}")
    known = {name for method in sweep.methods for name in _variables_of(method)}
    asked = {name for table in (sweep.variables, *sweep.of_method.values(), *sweep.variants) for name in table}
    if unknown := sorted(asked - known):
        raise ConfigurationError(f"{path}: {show(unknown[0])} is a variable of no method; {suggest(unknown[0], known)}")
    return sweep


def _variables_of(method: str) -> dict[str, Any]:
    """The variables of a method's job. Raises: ConfigurationError where there is no such job."""
    return job_variables(find_job("fedavg" if method == CENTRALISED else method))


def plan_runs(sweep: Sweep) -> list[Run]:
    """All runs, in an order in which early results cover all methods: seeds last, then folds, then splits."""
    return list(_runs(sweep))


def _runs(sweep: Sweep) -> Iterator[Run]:
    known = {method: _variables_of(method).keys() for method in sweep.methods}  # once, not for every run
    for seed in sweep.seeds:
        for left_out in sweep.left_out:
            for fold in sweep.folds:
                for split in sweep.splits:
                    for misbehave in sweep.misbehave:
                        for variant in sweep.variants:
                            for method in sweep.methods:
                                if method == CENTRALISED and misbehave:
                                    continue
                                settings = _settings_of(method, sweep, variant, known[method])
                                bad = _read_harm(misbehave)
                                engine = "train" if method == CENTRALISED else sweep.engine
                                yield Run(split, fold, seed, method, settings, left_out or None, bad, engine)


def _settings_of(method: str, sweep: Sweep, variant: Mapping[str, Any], known: Container[str]) -> dict[str, Any]:
    """The variables of one run; those of the sweep that a method's job does not have are another job's affair."""
    settings = {**sweep.variables, **sweep.of_method.get(method, {}), **variant}
    return {name: value for name, value in settings.items() if name in known}


def _read_harm(word: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in word.split(",") if word else ():
        site, equals, kind = each.strip().partition("=")
        if not equals or site in found:
            raise ConfigurationError(f"misbehave takes SITE=KIND, or SITE=KIND,SITE=KIND of several, not {show(word)}")
        found[site] = kind
    return found
