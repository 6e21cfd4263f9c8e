"""How long a job takes: from the cost of one step and one score, and how the sites of a machine share its cores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FLIPS = 8  # mirror images of the last evaluation
START_S = {"poc": 15.0, "simulate": 5.0, "train": 0.0}  # of server and sites, measured on two cores


@dataclass(frozen=True)
class Cost:
    """What training costs on a machine with so many threads a site.

    Attributes:
        step_s: seconds of an optimiser step.
        score_s: of predicting and scoring one case.
        prepare_s: of preparing one case.
        memory_gb: of one site's process, or of the GPU.
    """

    step_s: float
    score_s: float
    prepare_s: float
    memory_gb: float | None = None


@dataclass(frozen=True)
class Work:
    """What one site does: its training and validation cases, and its steps a round."""

    training: int
    validation: int
    steps: int


def seconds_of_job(cost: Cost, sites: Sequence[Work], values: Mapping[str, Any], cores: int, start_s: float) -> float:
    """Seconds of a federated job with all its sites on one machine, the preparation of the cases included.

    Args:
        values: the job's variables.
        cores: that the sites share; one site alone has them all.
    """
    threads = max(1, cores // len(sites))
    passes = int(values.get("validate_received", True)) + int(values.get("validate_trained", True))
    passes_a_round = passes / int(values.get("validate_every", 1))
    of_round = [site.steps * cost.step_s + passes_a_round * site.validation * cost.score_s for site in sites]
    flips = FLIPS if values.get("final_flips", True) else 1
    at_end = [flips * site.validation * cost.score_s for site in sites]
    prepare_s = cost.prepare_s * sum(site.training + site.validation for site in sites) / cores
    rounds = int(values["num_rounds"])
    return start_s + prepare_s + rounds * _shared(of_round, threads, cores) + _shared(at_end, threads, cores)


def seconds_in_one_place(cost: Cost, sites: Sequence[Work], values: Mapping[str, Any], cores: int) -> float:
    """Seconds of `fedbrats train` with the cases of these sites: as many steps a round as they take together."""
    whole = Work(*(sum(getattr(site, name) for site in sites) for name in ("training", "validation", "steps")))
    return seconds_of_job(cost, [whole], {**values, "validate_received": False}, cores, START_S["train"])


def _shared(seconds: Sequence[float], threads: int, cores: int) -> float:
    """When sites that begin together are all done: the slowest alone, or all of them on too few cores."""
    return max(max(seconds), sum(seconds) * threads / cores)
