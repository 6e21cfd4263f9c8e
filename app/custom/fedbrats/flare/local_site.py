"""A site as a job sees it: its prepared cases and a trainer that stays alive across rounds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.data.cache import CachedCase, CacheSettings, RejectedCase, prepare_cases
from fedbrats.data.datalist import read_datalist
from fedbrats.errors import DataError
from fedbrats.flare.site import SiteFacts, read_site_facts

if TYPE_CHECKING:
    from fedbrats.model.metrics import CaseScore
    from fedbrats.model.training import Trainer


@dataclass
class LocalSite:
    """One site's part in a job."""

    name: str
    facts: SiteFacts
    validation: Sequence[CachedCase]
    rejected: Sequence[RejectedCase]
    trainer: Trainer
    preparing_seconds: float

    def metrics(self, scores: Sequence[CaseScore] | None) -> dict[str, dict[str, float]] | None:
        """Mean Dice and IoU by region and over regions, or None where fewer cases stand behind them than the site
        allows."""
        from fedbrats.model.metrics import summarise

        if not scores or len(scores) < self.facts.min_cases:
            return None
        return summarise(scores)

    def take_preparing_seconds(self) -> float:
        """Seconds spent on preparation since the last call, so that they are reported once."""
        seconds, self.preparing_seconds = self.preparing_seconds, 0.0
        return seconds


def open_local_site(
    name: str,
    local_dir: Path,
    *,
    network: Mapping[str, Any],
    training: Mapping[str, Any],
    preparation: Mapping[str, Any],
    seed: int,
) -> LocalSite:
    """Read the site's facts and datalist, prepare its cases and build its trainer.

    Raises: ConfigurationError for a site file or settings that cannot be, DataError for a site without a usable
        training case.
    """
    from fedbrats.model.training import Trainer, TrainingSettings

    began = time.perf_counter()
    facts = read_site_facts(local_dir, name)
    settings = TrainingSettings.from_json(training)
    cache = CacheSettings.from_json(preparation)
    datalist = read_datalist(facts.data_dir)
    prepared, rejected = prepare_cases(
        (*datalist.training, *datalist.validation),
        datalist.convention,
        facts.cache_dir,
        cache,
        workers=facts.workers,
    )
    by_name = {case.name: case for case in prepared}
    training_cases = [by_name[case.name] for case in datalist.training if case.name in by_name]
    validation_cases = [by_name[case.name] for case in datalist.validation if case.name in by_name]
    if not training_cases:
        raise DataError(
            f"site {name} has no training case that can be used ({len(datalist.training)} listed, "
            f"{len(rejected)} rejected): see `fedbrats check` on its data folder"
        )
    trainer = Trainer(
        network, settings, training_cases, validation_cases, seed=seed, device=facts.device, threads=facts.threads
    )
    return LocalSite(name, facts, validation_cases, rejected, trainer, time.perf_counter() - began)
