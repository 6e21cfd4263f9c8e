"""Training without a federation: the cases of some sites in one place, in rounds, with the rows of a federated job."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from fedbrats.data.prepare.cache import CachedCase
from fedbrats.data.prepare.site_cases import SiteCases
from fedbrats.model.metrics import CaseScore, summarise
from fedbrats.model.settings import TrainingSettings
from fedbrats.model.training.hooks import StepHook
from fedbrats.model.training.trainer import Trainer
from fedbrats.rows import FINAL_ROUND, case_rows, metric_rows

Rows = list[dict[str, Any]]
Score = TypeVar("Score", bound=CaseScore)


def pooled_trainer(
    network: Mapping[str, Any],
    settings: TrainingSettings,
    sites: Sequence[SiteCases],
    *,
    seed: int,
    device: str = "auto",
    threads: int | None = None,
) -> Trainer:
    """A trainer on the cases of all sites, with as many steps a round as those sites take together in a federation.

    Raises: DataError if no site has a training case.
    """
    steps = sum(settings.steps_per_round(len(site.training)) for site in sites if site.training)
    training = [case for site in sites for case in site.training]
    validation = [case for site in sites for case in site.validation]
    return Trainer(
        network,
        settings.changed(local_steps=max(steps, 1), local_epochs=None),
        training,
        validation,
        seed=seed,
        device=device,
        threads=threads,
    )


def train_centrally(
    trainer: Trainer,
    sites: Sequence[SiteCases],
    rounds: int,
    on_round: Callable[[int, Rows], None],
    hooks: Sequence[StepHook] = (),
    first_round: int = 0,
) -> tuple[Rows, Rows]:
    """Train `rounds` rounds, those before `first_round` being done; `on_round` is told each round's number and rows.

    Returns the rows of the final evaluation, by site, and its scores by case, each with the `site` that the case is of.
    """
    scores = _by_site(trainer.evaluation.score, sites)
    for round_number in range(first_round, rounds):
        began = time.perf_counter()
        received = scores
        outcome = trainer.train_round(round_number, rounds, hooks=hooks)
        validating = time.perf_counter()
        scores = _by_site(trainer.evaluation.score, sites)
        ended = time.perf_counter()
        rows = _metric_rows(round_number, "received", received)
        rows += _metric_rows(round_number, "trained", scores)
        rows += [_site_row(round_number, site, outcome.loss, outcome.steps) for site in sites]
        seconds = {
            "total": ended - began,
            "training": outcome.seconds,
            "waiting": outcome.seconds_waiting,
            "validating": ended - validating,
        }
        rows.append({"kind": "round", "round": round_number, "steps": outcome.steps, "seconds": seconds})
        on_round(round_number, rows)
    final = _by_site(trainer.evaluation.score_finally, sites)
    by_case = [{"site": site, **row} for site, own in final for row in case_rows(FINAL_ROUND, "final", own)]
    return _metric_rows(FINAL_ROUND, "final", final), by_case


def _site_row(round_number: int, site: SiteCases, loss: float, steps: int) -> dict[str, Any]:
    return {
        "kind": "site",
        "round": round_number,
        "site": site.name,
        "accepted": True,
        "training_cases": len(site.training),
        "validation_cases": len(site.validation),
        "rejected_cases": len(site.rejected),
        "steps": steps,
        "loss": loss,
    }


def _metric_rows(round_number: int, stage: str, scores: Sequence[tuple[str, Sequence[CaseScore]]]) -> Rows:
    """Rows of every site that has validation cases with a score."""
    return [
        row for site, own in scores if own for row in metric_rows(round_number, site, stage, summarise(own), len(own))
    ]


def _by_site(
    score: Callable[[Sequence[CachedCase]], list[Score]], sites: Sequence[SiteCases]
) -> list[tuple[str, list[Score]]]:
    """Each site with the scores of its own cases: a case's name is its site's affair, and another may use it too."""
    return [(site.name, score(site.validation)) for site in sites]
