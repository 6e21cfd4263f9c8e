"""Whether a global model has become worse, by what the sites' own validation says of it, and what is done then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from statistics import median


class Verdict(Enum):
    """What becomes of the model that a round began with."""

    NEW_BASELINE = "new baseline"  # the next rounds are compared with it
    OLD_BASELINE = "old baseline"  # nobody has judged both: the earlier baseline stays, and so does the model
    ROLL_BACK = "roll back"  # the earlier baseline takes its place


@dataclass(frozen=True)
class Judgement:
    """A verdict and the loss behind it, mean Dice of the median site; None where nobody has judged both models."""

    verdict: Verdict
    lost: float | None = None


def judge(now: Mapping[str, float], good: Mapping[str, float] | None, most: float) -> Judgement:
    """Compare the model that a round began with to the baseline.

    Args:
        now: by site, the Dice of this model.
        good: by site, the Dice of the baseline; None where there is none yet.
        most: how much the median site may lose.
    """
    if not now or (good is not None and not now.keys() & good.keys()):
        return Judgement(Verdict.OLD_BASELINE)
    lost = drop(now, good or {})
    return Judgement(Verdict.ROLL_BACK if lost > most else Verdict.NEW_BASELINE, lost)


def drop(now: Mapping[str, float], good: Mapping[str, float]) -> float:
    """By how much the median site's score has fallen since the last good model; 0 where no site judged both.

    Sites that judged both models count, each once: neither a site that comes or goes nor one that lies about its score
    or its number of cases moves the median far.
    """
    both = now.keys() & good.keys()
    return max(0.0, median(good[site] - now[site] for site in both)) if both else 0.0
