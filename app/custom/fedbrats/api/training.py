"""Train without a federation: on the data of all sites together, or of one site alone; resumable."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats import __version__
from fedbrats.api.findings import tell_recorded
from fedbrats.api.jobs import tell_misfits, wrong_arguments
from fedbrats.api.progress import Progress, Watch, time_left
from fedbrats.api.runs import Run
from fedbrats.at_work import at_work
from fedbrats.atomic import write_bytes_atomic, write_json_atomic, write_text_atomic
from fedbrats.data.cases.datalist import site_folders
from fedbrats.data.check.problems import FINDINGS
from fedbrats.data.check.recorded import as_documents
from fedbrats.errors import ArgumentError, ConfigurationError, DataError
from fedbrats.privacy.settings import PrivacySettings
from fedbrats.rows import (
    CASES_FILE,
    ROWS_FILE,
    learning_curve,
    summarise_rows,
)
from fedbrats.run_folder import BEST_MODEL, CENTRAL_MODEL, COMPLETED, SUMMARY_FILE

if TYPE_CHECKING:
    import numpy as np

    from fedbrats.data.check.problems import Problem
    from fedbrats.data.prepare.site_cases import SiteCases
    from fedbrats.jobs.plan import TrainingPlan
    from fedbrats.model.training.central import Rows
    from fedbrats.model.training.checkpoint import Checkpoint
    from fedbrats.model.training.trainer import Trainer

CHECKPOINT_FILE = "checkpoint.pt"
_RESUMED = ("like", "rounds", "start", "settings", "cache", "device", "threads")  # arguments that a run keeps
# Where all cases are in one place, nothing of a model is personal, and no site keeps an account of its patients.
FEDERATED_ONLY = ("personal", "personal_rounds", "best_of", *PrivacySettings.model_fields)


@dataclass
class Training:
    """What `train` is asked for.

    Attributes:
        data: A sites folder, or site folders.
        out: The results folder; None makes one in results/.
        like: The job whose settings are taken, by its name or folder.
        rounds: None takes those of the job.
        start: First weights: `phantoms`, `none` or a model; None takes those of the job.
        settings: Variables of the job that differ.
        cache: The folder of prepared cases.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: On the CPU; None takes all cores.
    """

    data: list[Path]
    out: Path | None = None
    like: str = "fedavg"
    rounds: int | None = None
    start: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    cache: Path = Path("build/cache")
    device: str = "auto"
    threads: int | None = None


def train(
    data: str | Path | Sequence[str | Path],
    *,
    out: str | Path | None = None,
    like: str = "fedavg",
    rounds: int | None = None,
    start: str | None = None,
    settings: Mapping[str, Any] | None = None,
    cache: str | Path = Path("build/cache"),
    device: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """Train without a federation, with the settings of a federated job.

    A round has as many steps as the sites of that job take together. After each round the results folder has the best
    model so far, and a checkpoint from which `resume` goes on.

    Args:
        data: A sites folder, or site folders.
        out: The results folder; None makes one in results/.
        like: The job whose settings are taken, by its name or folder.
        rounds: None takes those of the job.
        start: First weights: `phantoms`, `none` or a model; None takes those of the job.
        settings: Variables of the job that differ.
        cache: The folder of prepared cases.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        threads: On the CPU; None takes all cores.
        progress: Gets a step a site and a round, and warnings about cases.

    Raises: DataError, ConfigurationError, UpdateError.

    >>> tiny = {"network": "tiny", "local_steps": 1, "patch_size": [16, 16, 16], "spacing_mm": 8.0}
    >>> run = train("sites", out="central", rounds=1, start="none", settings=tiny, threads=1)
    >>> run.job, run.rounds, sorted(run.per_site)
    ('train', 1, ['site-1', 'site-2'])
    """
    folders = [data] if isinstance(data, str | Path) else data
    place = None if out is None else Path(out)
    asked = Training(
        [Path(each) for each in folders], place, like, rounds, start, dict(settings or {}), Path(cache), device, threads
    )
    return Run.of(_begin(asked, Watch(progress)).carry_out())


def resume(run: str | Path, *, progress: Progress | None = None) -> Run:
    """Go on with a training that was stopped, to the same bits. Raises: DataError where it left nothing to go on from.

    Args:
        run: Its results folder.
        progress: As of `train`.
    """
    return Run.of(_take_up(Path(run), Watch(progress)).carry_out())


def _begin(asked: Training, watch: Watch) -> _Course:
    if not asked.data:
        raise ArgumentError("train: name the sites to train on, or a run that was stopped with --resume")
    job_id = f"train-{time.strftime('%Y%m%d-%H%M%S')}"
    out = asked.out or Path("results") / job_id
    check_free(out)
    _read_plan(asked)  # what is refused is refused before PyTorch is imported, which takes seconds
    _require_own_names(site_folders(asked.data))
    return _Course(asked, watch, out, job_id)


def check_free(out: Path) -> None:
    """Raise ConfigurationError where a folder holds a training that can go on."""
    if (out / CHECKPOINT_FILE).exists():
        raise ConfigurationError(
            f"{out} holds a training that was stopped; go on with `fedbrats train --resume {out}`, or give another "
            f"--out"
        )


def _take_up(run: Path, watch: Watch) -> _Course:
    """The course of a run that was stopped, with the arguments that it had. Raises: DataError."""
    from fedbrats.model.training.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(run / CHECKPOINT_FILE)
    about = checkpoint.about
    try:
        kept = {name: about["arguments"][name] for name in _RESUMED}
        kept |= {"cache": Path(kept["cache"]), "settings": dict(kept["settings"])}
        asked = Training([Path(folder) for folder in about["arguments"]["data"]], **kept)
        before = (about["job_id"], about["rows"], about["seconds"], about["best"])
    except (LookupError, TypeError, ValueError):
        raise DataError(f"{run / CHECKPOINT_FILE} is not one of `fedbrats train`, or of another version") from None
    watch.say(f"train: {run} goes on after round {checkpoint.rounds_done}")
    (run / SUMMARY_FILE).unlink(missing_ok=True)  # it said that the run was interrupted
    return _Course(asked, watch, run, *before, checkpoint)


@dataclass
class _Course:
    """One training, from its arguments to its results; it may have begun earlier.

    Attributes:
        rows: of the rounds that are done.
        seconds: that went by before.
        best: the best round so far and its Dice.
        checkpoint: from which it goes on.
    """

    asked: Training
    watch: Watch
    out: Path
    job_id: str
    rows: Rows = field(default_factory=list)
    seconds: float = 0.0
    best: list[float] = field(default_factory=list)
    checkpoint: Checkpoint | None = None
    rounds_done: int = 0

    def carry_out(self) -> dict[str, Any]:
        """Train what is left, and write the results; who stops it is told what was kept.

        Raises: DataError, ConfigurationError, UpdateError.
        """
        try:
            with at_work(self.out, "train"):
                return self._train()
        except BaseException as error:
            self._write_unfinished(error)
            if not isinstance(error, Exception):
                self.watch.warn(self.say_what_was_kept())
            raise

    def _write_unfinished(self, error: BaseException) -> None:
        """Write into the results that it ended before its end, where a round was done."""
        from fedbrats.admin.run.unfinished import write_unfinished

        if self.rounds_done:
            seconds = self.seconds + time.perf_counter() - self._began
            write_unfinished(self.out, "train", self.job_id, self.rows[0]["variables"], seconds, error)

    def _train(self) -> dict[str, Any]:
        from fedbrats.data.parallel import count_cores
        from fedbrats.data.prepare.cache import common_spacing
        from fedbrats.model.training.central import pooled_trainer, train_centrally
        from fedbrats.site.hooks.choice import choose_step_hooks

        asked, self._began = self.asked, time.perf_counter()
        plan, start = _read_plan(asked)
        asked.threads = asked.threads or count_cores()
        findings = tell_recorded(self.watch, "train", asked.data)
        tell_misfits(self.watch, "train", plan.variables, asked.data)
        sites = _prepare_sites(asked.data, asked.cache, plan, asked.threads, self.watch)
        options: dict[str, Any] = {"seed": plan.seed, "device": asked.device, "threads": asked.threads}
        self._trainer = trainer = pooled_trainer(plan.network, plan.training, sites, **options)
        if start:
            trainer.set_weights(start)
        spacing_mm = common_spacing(case for site in sites for case in site.training)
        self._plan = replace(plan, preparation=plan.preparation.at(spacing_mm))
        self._cases = sorted(
            f"{site.name}/{case.name}" for site in sites for case in (*site.training, *site.validation)
        )
        variables = {name: value for name, value in plan.variables.items() if name not in FEDERATED_ONLY}
        self._restore()
        self.rows = self.rows or [
            {"kind": "job", "job_id": self.job_id, "version": __version__, "variables": variables}
        ]
        hooks = choose_step_hooks(plan.training)
        final, by_case = train_centrally(trainer, sites, plan.rounds, self._keep, hooks, self.rounds_done)
        return self._finish(final, by_case, variables, findings)

    def _restore(self) -> None:
        if self.checkpoint is None:
            return
        if self._cases != self.checkpoint.about["cases"]:
            raise DataError(f"the cases are not those that {self.out} began with; bring them back, or train anew")
        self.checkpoint.apply(self._trainer)
        self.rounds_done = self.checkpoint.rounds_done

    def _keep(self, round_number: int, added: Rows) -> None:
        """Write what a round gave: rows, the best model so far, and the state to go on from."""
        from fedbrats.model.training.checkpoint import write_checkpoint

        self.rows.extend(added)
        self.rounds_done = round_number + 1
        _write_rows(self.out / ROWS_FILE, self.rows)
        dice = learning_curve(self.rows, stage="trained").get(round_number)
        if dice is not None and (not self.best or dice > self.best[1]):
            self.best = [round_number + 1, dice]
            _write_model(self.out / BEST_MODEL, self._trainer, self._plan)
        about = {
            "job_id": self.job_id,
            "arguments": {name: _plain(getattr(self.asked, name)) for name in (*_RESUMED, "data")},
            "cases": self._cases,
            "rows": self.rows,
            "seconds": self.seconds + time.perf_counter() - self._began,
            "best": self.best,
        }
        write_checkpoint(self.out / CHECKPOINT_FILE, self._trainer, self.rounds_done, about)
        left = (time.perf_counter() - self._began) / (self.rounds_done - self._first_round)
        self.watch.say(
            _describe_round(
                round_number, self._plan, self.rows, left * (self._plan.rounds - self.rounds_done), added[-1]["seconds"]
            )
        )

    @property
    def _first_round(self) -> int:
        return self.checkpoint.rounds_done if self.checkpoint else 0

    def _finish(self, final: Rows, by_case: Rows, variables: dict[str, Any], findings: list[Problem]) -> dict[str, Any]:
        """Write the results of a training that is done; returns its summary."""
        from fedbrats.report.numbers.conditions import CONDITIONS, describe_conditions

        seconds = round(self.seconds + time.perf_counter() - self._began, 2)
        conditions = describe_conditions(self.rows, variables, site_folders(self.asked.data))
        end = {"kind": "end", "status": COMPLETED, "seconds": seconds}
        rows = [{"kind": CONDITIONS, **conditions}, *self.rows, *final, end]
        _write_rows(self.out / ROWS_FILE, rows)
        _write_rows(self.out / CASES_FILE, by_case)
        _write_model(self.out / CENTRAL_MODEL, self._trainer, self._plan)
        document = {
            "job": "train",
            "like": self.asked.like,
            "job_id": self.job_id,
            "status": COMPLETED,
            **summarise_rows(rows),
            "seconds": seconds,
            "results": str(self.out),
            "variables": variables,
            CONDITIONS: conditions,
            FINDINGS: as_documents(findings),
        }
        write_json_atomic(self.out / SUMMARY_FILE, document)
        (self.out / CHECKPOINT_FILE).unlink(missing_ok=True)
        return document

    def say_what_was_kept(self) -> str:
        """For a person who has stopped it: what there is, and the command that goes on."""
        if not self.rounds_done:
            return "train: stopped before the end of a round; nothing was kept"
        best = ""
        if self.best:
            best = f"the best model so far, of round {self.best[0]:.0f} with Dice {self.best[1]:.3f}, is "
            best += f"{self.out / BEST_MODEL}; "
        return f"train: stopped after round {self.rounds_done}; {best}go on with: fedbrats train --resume {self.out}"


def _plain(value: Any) -> Any:
    """An argument as JSON; folders as they are found from anywhere."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return str(value.resolve()) if isinstance(value, Path) else value


def _read_plan(asked: Training) -> tuple[TrainingPlan, dict[str, np.ndarray] | None]:
    """What is trained, and the first weights if there are any. Raises: ConfigurationError, DataError."""
    from fedbrats.jobs.plan import check_settings, read_plan
    from fedbrats.jobs.private import is_private
    from fedbrats.jobs.start import GIVEN, NONE, read_start

    settings = dict(asked.settings)
    if asked.rounds is not None:
        settings["num_rounds"] = asked.rounds
    if asked.start is not None:
        settings["start"] = asked.start
    with wrong_arguments():
        if settings:
            check_settings(asked.like, settings)
        plan = read_plan(asked.like, settings)
    if is_private(plan.variables):
        raise ConfigurationError(
            f"{asked.like} trains with differential privacy, which a site keeps an account of; run it in a federation"
        )
    start = read_start(str(plan.variables["start"]), plan.network)
    plan.variables["start"] = GIVEN if start else NONE
    return plan, start


def _prepare_sites(
    folders: Sequence[Path], cache_dir: Path, plan: TrainingPlan, workers: int, watch: Watch
) -> list[SiteCases]:
    """Prepare the cases of every site.

    Raises: DataError if a folder holds no site; ConfigurationError for two sites of one name.
    """
    from fedbrats.data.prepare.site_cases import read_site

    site_dirs = site_folders(folders)
    _require_own_names(site_dirs)
    sites: list[SiteCases] = []
    for site_dir in site_dirs:
        site = read_site(site_dir, cache_dir, plan.preparation, workers=workers)
        watch.say(f"train: {site.name}: {len(site.training)} training and {len(site.validation)} validation cases")
        for case in site.rejected:
            watch.warn(f"train: {site.name}: {case.name} is left out: {case.reason}")
        sites.append(site)
    return sites


def _require_own_names(site_dirs: Sequence[Path]) -> None:
    """A site is told by its folder's name, in rows and in results."""
    seen: dict[str, Path] = {}
    for folder in (site_dir.resolve() for site_dir in site_dirs):
        if (earlier := seen.setdefault(folder.name, folder)) is folder:
            continue
        if earlier == folder:
            raise ConfigurationError(f"site {folder.name} is given twice; its cases would count double")
        raise ConfigurationError(
            f"site {folder.name} is both {earlier} and {folder}, and results tell sites by name; rename one of them"
        )


def _describe_round(
    round_number: int, plan: TrainingPlan, rows: Rows, rounds_left_s: float, took: Mapping[str, float]
) -> str:
    """How far the training is; took: the seconds of the parts of this round."""
    from fedbrats.jobs.estimate import IN_ONE_PLACE, last_evaluation

    dice = learning_curve(rows, stage="trained").get(round_number)
    cases = sum(row["cases"] for row in rows if _is_mean_of(row, round_number))
    loss = [row["loss"] for row in rows if row["kind"] == "site"][-1]
    said = "" if dice is None else f", Dice {dice:.3f} of this round's model on {cases} validation cases"
    last_s = last_evaluation([took["validating"]], {**plan.variables, **IN_ONE_PLACE}, "train")
    left = "" if round_number + 1 == plan.rounds else f", {time_left(rounds_left_s, last_s)}"
    return f"train: round {round_number + 1}/{plan.rounds}, loss {loss:.3f}{said}{left}"


def _is_mean_of(row: Mapping[str, Any], round_number: int) -> bool:
    about = (row["kind"], row.get("stage"), row.get("region"), row.get("round"))
    return about == ("metrics", "trained", "mean", round_number)


def _write_rows(path: Path, rows: Rows) -> None:
    write_text_atomic(path, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))


def _write_model(path: Path, trainer: Trainer, plan: TrainingPlan) -> None:
    """Save what inference needs; torch.load(..., weights_only=True) reads it."""
    import torch

    document = {
        "model": {name: value.cpu() for name, value in trainer.network.state_dict().items()},
        "network": plan.network,
        "settings": plan.training.model_dump(),
        "preparation": plan.preparation.model_dump(),
    }
    write_bytes_atomic(path, lambda stream: torch.save(document, stream))
