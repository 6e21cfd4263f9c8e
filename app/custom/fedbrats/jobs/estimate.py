"""How long a job takes: from measured costs of a step and of a case, and how the sites of a machine share its cores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from fedbrats.errors import ConfigurationError
from fedbrats.model.settings import BRAIN, TrainingSettings

IN_ONE_PLACE = {"validate_received": False, "validate_trained": True, "validate_every": 1}  # of `fedbrats train`
MIRRORED = 8  # predictions of a case in the last evaluation, with final_flips
Way = Literal["poc", "simulate", "train", "remote"]  # how sites train; remote: each on a machine of its own


@dataclass(frozen=True)
class Overhead:
    """What a job takes beside training and validation, in launches of one process (`Cost.launch_s`) or in seconds.

    Attributes:
        launches: before the first round, one after the other.
        launches_a_site: of every site; sites share the cores.
        round_s: seconds of a round in which nothing is trained.
        end_s: seconds after the last evaluation.
    """

    launches: float = 0.0
    launches_a_site: float = 0.0
    round_s: float = 0.0
    end_s: float = 0.0


OVERHEADS: dict[Way, Overhead] = {  # rounded, from launches that docs/results/performance.md shows
    "poc": Overhead(launches=3.5, launches_a_site=1.3, round_s=0.5, end_s=2.0),
    "simulate": Overhead(launches=2.0, launches_a_site=0.05, round_s=0.2, end_s=1.0),
    "train": Overhead(launches=0.5),
    "remote": Overhead(),
}


@dataclass(frozen=True)
class Cost:
    """What training costs on a machine, measured in as many processes as train at the same time.

    Attributes:
        step_s: seconds of an optimiser step, with its patches drawn and augmented.
        score_s: of predicting and scoring one case in a round.
        final_s: of one case in the last evaluation, with mirror images and all metrics.
        prepare_s: of preparing one case.
        launch_s: processor seconds until a new process has imported what it trains with.
        at_once: the processes that were measured at the same time.
        share: of the cores that they had, from 0 to 1; other programs had the rest.
        memory_gb: of one site's process, or of the GPU.
    """

    step_s: float
    score_s: float
    final_s: float
    prepare_s: float
    launch_s: float
    at_once: int = 1
    share: float = 1.0
    memory_gb: float | None = None

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> Cost:
        """The cost in the estimate of a plan. Raises: ConfigurationError where it has none."""
        try:
            step_s, score_s, final_s, prepare_s, launch_s, share = (
                float(document[name]) for name in ("step_s", "score_s", "final_s", "prepare_s", "launch_s", "share")
            )
            at_once = int(document["at_once"])
            total = step_s + score_s + final_s + prepare_s + launch_s
        except (KeyError, TypeError, ValueError, OverflowError):
            raise ConfigurationError("the plan has no measured costs") from None
        if not 0 < total < math.inf or not 0 < share <= 1 or at_once < 1:
            raise ConfigurationError("the plan has no measured costs")
        return cls(step_s, score_s, final_s, prepare_s, launch_s, at_once=at_once, share=share)

    def document(self) -> dict[str, Any]:
        """What of_document reads."""
        return {name: value if name == "at_once" else round(value or 0, 4) for name, value in asdict(self).items()}

    def share_of(self, processes: int) -> float:
        """The share of the cores that so many processes get: more of them get more of a machine that others use."""
        others = self.at_once * (1 / self.share - 1)  # programs that want as much as one of the measured processes
        return processes / (processes + others)


@dataclass(frozen=True)
class Work:
    """What one site does: its training and validation cases, and its steps a round."""

    training: int
    validation: int
    steps: int


@dataclass(frozen=True)
class Parts:
    """Seconds of a job by what they go to."""

    launch_s: float
    prepare_s: float
    rounds_s: float
    final_s: float

    @property
    def total_s(self) -> float:
        """Seconds from the command to its end."""
        return self.launch_s + self.prepare_s + self.rounds_s + self.final_s


def parts_of_job(cost: Cost, sites: Sequence[Work], values: Mapping[str, Any], cores: int, way: Way) -> Parts:
    """Seconds of a job with all its sites on one machine, from the command to its end.

    Args:
        cost: measured with at most as many processes as there are sites.
        values: the job's variables.
        cores: that the sites share; one site alone has them all.
    """
    overhead = OVERHEADS[way]
    lanes = max(1, cores // max(1, cores // len(sites)))  # sites that can train at the same time
    ease = cost.share / cost.share_of(max(cost.at_once, len(sites)))
    of_round = [site.steps * cost.step_s * _trainings(values) for site in sites]
    of_scores = [_passes(values, way) * site.validation * cost.score_s for site in sites]
    rounds, scored = int(values["num_rounds"]), _scored_rounds(values)
    both = [train + score for train, score in zip(of_round, of_scores, strict=True)]
    rounds_s = (rounds - scored) * shared(of_round, lanes) + scored * shared(both, lanes)
    at_end = [_last_models(values, way) * site.validation * cost.final_s for site in sites]
    to_prepare = [(site.training + site.validation) * cost.prepare_s for site in sites]
    launches = overhead.launches + overhead.launches_a_site * len(sites) / cores
    return Parts(
        launch_s=launches * cost.launch_s / cost.share_of(max(cost.at_once, len(sites))),
        prepare_s=shared(to_prepare, lanes) * ease,
        rounds_s=rounds_s * ease + rounds * overhead.round_s,
        final_s=shared(at_end, lanes) * ease + overhead.end_s,
    )


def parts_in_one_place(cost: Cost, sites: Sequence[Work], values: Mapping[str, Any], cores: int) -> Parts:
    """Seconds of `fedbrats train` with the cases of these sites: as many steps a round as they take together.

    cost: of one process that has all cores.
    """
    whole = Work(*(sum(getattr(site, name) for site in sites) for name in ("training", "validation", "steps")))
    return parts_of_job(cost, [whole], {**values, **IN_ONE_PLACE}, cores, "train")


def shared(seconds: Sequence[float], lanes: int) -> float:
    """When sites that begin together are all done, where each alone takes so long and `lanes` fit on the machine.

    All that are not done have equal parts of it.
    """
    clock = done = 0.0
    for number, each in enumerate(sorted(seconds)):
        at_work = len(seconds) - number
        clock += (each - done) * max(1.0, at_work / lanes)
        done = each
    return clock


def last_evaluation(validating_s: Sequence[float], values: Mapping[str, Any], way: Way) -> float | None:
    """Seconds of a job's last evaluation, by those in which its sites validated in a round; None where none did.

    Metrics of surfaces and the overhead of a round are taken for equal.
    """
    passes = _passes(values, way)
    if not passes or not any(validating_s):
        return None
    flips = MIRRORED if values.get("final_flips", True) else 1
    return max(validating_s) / passes * _last_models(values, way) * flips


def usual_cost(values: Mapping[str, Any]) -> Cost:
    """Costs of one core of the machine that the defaults were measured on: good for "a minute" or "an hour"."""
    patch = math.prod(values.get("patch_size") or BRAIN) / math.prod(TrainingSettings().patch_size or BRAIN)
    step_s = _USUAL_STEP_S.get(str(values.get("network")), _USUAL_STEP_S["fast"]) * patch
    flips = MIRRORED if values.get("final_flips", True) else 1
    score_s = step_s * math.prod(BRAIN) / math.prod(values.get("patch_size") or BRAIN) / 3  # forth, not back
    step_s *= int(values.get("batch_size", 1))
    return Cost(step_s, score_s, flips * score_s, prepare_s=0.6, launch_s=4.0)


_USUAL_STEP_S = {"fast": 0.06, "tiny": 0.01, "large": 5.0, "original": 1.0}  # with patches of the default size


def _passes(values: Mapping[str, Any], way: Way) -> int:
    """How many models a site evaluates in a round that evaluates."""
    validations = sum(bool(values.get(name, True)) for name in ("validate_received", "validate_trained"))
    return validations + (way != "train" and bool(values.get("measure_minus_model", False)))


def _last_models(values: Mapping[str, Any], way: Way) -> int:
    """How many models the last evaluation is of: the last one, and the best one where rounds tell which that is."""
    return 2 if way != "train" and values.get("validate_received", True) else 1


def _scored_rounds(values: Mapping[str, Any]) -> int:
    rounds, every = int(values["num_rounds"]), int(values.get("validate_every", 1))
    return rounds // every + (rounds % every > 0)  # the last one always


def _trainings(values: Mapping[str, Any]) -> int:
    """How often a site makes its steps in a round: Ditto makes them for its own model too."""
    return 1 + sum(str(name).endswith(".Ditto") for name in values.get("hooks") or {})
