"""A site as a job sees it: its prepared cases and a trainer that stays alive across rounds."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fedbrats
from fedbrats.atomic import append_lines
from fedbrats.data.cases.datalist import DATALIST_NAME
from fedbrats.data.prepare.cache import (
    CachedCase,
    CacheSettings,
    RejectedCase,
    common_spacing,
)
from fedbrats.data.prepare.room import GB, PreparationLimits
from fedbrats.data.prepare.site_cases import SiteCases, read_site
from fedbrats.errors import ConfigurationError, DataError
from fedbrats.rows import CASES_FILE, ROWS_FOLDER, case_rows
from fedbrats.site.evaluations import count_evaluation
from fedbrats.site.job_record import read_record
from fedbrats.site.site_file import SiteFacts, read_site_facts
from fedbrats.site_report import SiteReport

if TYPE_CHECKING:
    from fedbrats.model.metrics import CaseScore, DetailedScore
    from fedbrats.model.settings import TrainingSettings
    from fedbrats.model.training.trainer import Trainer, TrainOutcome

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 4  # largest cases that a batch of patches, or a window, may take the memory of
TOLD_DECIMALS = 3  # of a mean that a site tells where it has a smallest number of cases


@dataclass
class LocalSite:
    """One site's part in a job."""

    name: str
    facts: SiteFacts
    unprepared: Sequence[RejectedCase]
    trainer: Trainer
    manifest: str  # SHA-256 of the site's datalist: which cases these were, without saying which
    spacing_mm: float | None  # of its prepared training cases, where it is one
    preparing_seconds: float
    scores_file: Path  # rows about single cases, which never leave the site
    validating_seconds: float = 0.0
    opened: float = field(default_factory=time.time)
    _began: float | None = None  # when the job first ran here
    _told: set[RejectedCase] = field(default_factory=set)

    @property
    def rejected(self) -> tuple[RejectedCase, ...]:
        """The cases that are left out: those that could not be prepared, then those that broke while training."""
        return (*self.unprepared, *self.trainer.rejected)

    def leave_out_bad_cases(self, round_number: int | None) -> None:
        """Record each case that is left out from now on, with its reason; no name of a case comes into the log.

        Raises: DataError where the site has too many of them.
        """
        fresh = [case for case in self.rejected if case not in self._told]
        self._told.update(fresh)
        self._record({"round": round_number, "rejected": case.name, "reason": case.reason} for case in fresh)
        if fresh:
            logger.warning(
                "%d cases are left out; %s and `fedbrats check` say why site=%s", len(fresh), CASES_FILE, self.name
            )
        self.refuse_too_many_bad()

    def record_scores(self, round_number: int, stage: str, scores: Sequence[CaseScore] | None) -> None:
        """Append the scores of single cases to the site's own file."""
        self._record(case_rows(round_number, stage, scores))

    def record_refusal(self, round_number: int | None, reason: str) -> None:
        """Append to the site's own file that it has refused a model."""
        self._record([{"round": round_number, "refused": reason}])

    def _record(self, rows: Iterable[Mapping[str, Any]]) -> None:
        append_lines(self.scores_file, map(json.dumps, rows))

    def refuse_too_many_bad(self) -> None:
        """Raise DataError where more of the site's cases are bad than it allows: then it is not the cases."""
        bad = len(self.rejected)
        listed = len(self.unprepared) + len(self.trainer.training) + len(self.trainer.evaluation.cases)
        if bad > self.facts.max_bad_share * listed:
            raise DataError(
                f"site {self.name} stops: {bad} of its {listed} cases cannot be used, and max_bad_share in its "
                f"site file allows {self.facts.max_bad_share:.0%}; {CASES_FILE} in the job's run folder says why. Look "
                f"at the data and cache disks, then run `fedbrats check`"
            )

    @property
    def round_validation(self) -> Sequence[CachedCase]:
        """The validation cases of every round: all, or as many as the site wants, evenly from its list.

        All of them too where those left out would be fewer than `min_cases`: the difference to all would describe them.
        """
        listed, most, usable = (
            self.trainer.evaluation.cases,
            self.facts.round_validation_cases,
            self.trainer.evaluation.usable_cases,
        )
        if most is None or most >= len(listed):
            return usable
        names = {listed[number * len(listed) // most].name for number in range(most)}
        chosen = [case for case in usable if case.name in names]
        return usable if len(usable) - len(chosen) < self.facts.min_cases else chosen

    def evaluate(self) -> list[CaseScore]:
        """Scores of the trainer's model on a round's validation cases; the time is kept for the report."""
        began = time.perf_counter()
        scores = self.trainer.evaluation.score(self.round_validation)
        self.validating_seconds += time.perf_counter() - began
        return scores

    def evaluate_finally(self) -> list[DetailedScore]:
        """Scores on all validation cases, with mirror images where the job asks for them."""
        return self.trainer.evaluation.score_finally()

    def metrics(self, scores: Sequence[CaseScore] | None) -> dict[str, dict[str, float]] | None:
        """Mean Dice and IoU by region and over regions, or None where they would tell of fewer cases than the site
        allows, or the site has told enough today. Three decimals where the site has such a number of cases."""
        from fedbrats.model.metrics import partly_found, summarise

        least = self.facts.min_cases
        if not scores or len(scores) < least or any(0 < cases < least for cases in partly_found(scores).values()):
            return None
        if not count_evaluation(self.facts.personal_dir / self.name, self.facts.max_evaluations):
            return None
        return summarise(scores, decimals=TOLD_DECIMALS if least > 1 else None)

    def refuse_too_long(self, job_id: str) -> None:
        """Raise ConfigurationError where a job has run here for longer than the site allows."""
        if self.is_over(job_id):
            raise ConfigurationError(
                f"site {self.name} answers this job no more: it has run here for longer than max_hours of the site "
                f"file, {self.facts.max_hours:g}"
            )

    def is_over(self, job_id: str) -> bool:
        """Whether a job has run here for longer than the site allows, restarts included."""
        if self.facts.max_hours is None:
            return False
        if self._began is None:
            record = read_record(self.facts.personal_dir / job_id / self.name)
            self._began = self.opened if record is None else record.began
        return time.time() - self._began > self.facts.max_hours * 3600

    def report(
        self, outcome: TrainOutcome, received: Sequence[CaseScore] | None, trained: Sequence[CaseScore] | None
    ) -> SiteReport:
        """What the site tells the server of a round; seconds count from the last report."""
        scored = trained if trained is not None else received
        tells_loss = outcome.loss_cases >= self.facts.min_cases and math.isfinite(outcome.loss)
        report = SiteReport(
            training_cases=outcome.cases,
            validation_cases=len(self.round_validation if scored is None else scored),
            rejected_cases=len(self.rejected),
            manifest=self.manifest,
            spacing_mm=self.spacing_mm,
            version=fedbrats.__version__,
            steps=outcome.steps,
            loss=outcome.loss if tells_loss else None,
            loss_cases=outcome.loss_cases,
            seconds={
                "training": outcome.seconds,
                "waiting": outcome.seconds_waiting,
                "validating": self.validating_seconds,
                "preparing": self.preparing_seconds,
            },
            received=self.metrics(received),
            trained=self.metrics(trained),
        )
        self.preparing_seconds = self.validating_seconds = 0.0
        return report


def open_local_site(
    name: str,
    local_dir: Path,
    run_dir: Path,
    *,
    network: Mapping[str, Any],
    training: Mapping[str, Any],
    preparation: Mapping[str, Any],
    seed: int,
    prepare: Callable[[str, SiteFacts, CacheSettings], SiteCases] | None = None,
) -> LocalSite:
    """Read the site's facts and datalist, prepare its cases and build its trainer.

    Args:
        local_dir: the folder of the site file.
        run_dir: of the job at this site, for rows about single cases.
        prepare: what prepares the site's cases; None for `prepare_site`.

    Raises: ConfigurationError for a site file or settings that cannot be, DataError for a site without a usable
        training case.
    """
    from fedbrats.model.settings import TrainingSettings
    from fedbrats.model.training.trainer import Trainer

    began = time.perf_counter()
    facts = read_site_facts(local_dir, name)
    settings = TrainingSettings.from_json(training)
    _refuse_large_parts(name, facts, settings)
    cases = (prepare or prepare_site)(name, facts, CacheSettings.from_json(preparation))
    if not cases.training:
        raise DataError(
            f"site {name} has no training case that can be used ({len(cases.rejected)} of its cases were rejected): "
            f"see `fedbrats check` on its data folder"
        )
    if settings.patch_size is None:
        largest = max(math.prod(case.image.shape[1:]) for case in cases.training)
        _refuse_voxels(name, facts, "whole volumes (patch_size null)", settings.batch_size, largest)
    trainer = Trainer(
        network,
        settings,
        cases.training,
        cases.validation,
        seed=seed_of_site(seed, cases.name),
        device=facts.device,
        threads=facts.threads,
    )
    manifest = hashlib.sha256((facts.data_dir / DATALIST_NAME).read_bytes()).hexdigest()
    spacing_mm = common_spacing(cases.training)
    seconds = time.perf_counter() - began
    return LocalSite(
        name, facts, cases.rejected, trainer, manifest, spacing_mm, seconds, run_dir / ROWS_FOLDER / CASES_FILE
    )


def _refuse_large_parts(name: str, facts: SiteFacts, settings: TrainingSettings) -> None:
    """Refuse patches and windows of more voxels than the site prepares of a case: memory is taken for each whole.

    Raises: ConfigurationError.
    """
    for part, at_once in (("patch_size", settings.batch_size), ("inference_window", 1)):
        if sides := getattr(settings, part):
            _refuse_voxels(name, facts, part, at_once, math.prod(sides))


def _refuse_voxels(name: str, facts: SiteFacts, part: str, at_once: int, voxels: int) -> None:
    if at_once * voxels > MOST_AT_ONCE * facts.max_prepared_voxels:
        times = f"{at_once} times " if at_once > 1 else ""
        raise ConfigurationError(
            f"site {name}: {part} of the job takes {times}{voxels} voxels at once, and this site "
            f"prepares at most {facts.max_prepared_voxels} (max_prepared_voxels in its site file)"
        )


def prepare_site(site: str, facts: SiteFacts, preparation: CacheSettings) -> SiteCases:
    """The prepared cases of the site's own data folder. Raises: DataError."""
    limits = PreparationLimits(facts.max_prepared_voxels, None if facts.cache_gb is None else facts.cache_gb * GB)
    return read_site(facts.data_dir, facts.cache_dir, preparation, workers=facts.workers, name=site, limits=limits)


def seed_of_site(seed: int, site: str) -> int:
    """Every site's own seed, the same in every run of a job with this seed."""
    return zlib.crc32(f"{seed} {site}".encode())
