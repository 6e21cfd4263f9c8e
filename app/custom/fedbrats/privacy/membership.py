"""Membership inference: whether a model tells who was in its training data.

A score of a patient is how much surer the model is of the right mask than reference models that did not train on that
patient (after RMIA, Zarifzadeh et al. 2024, arXiv:2312.03262): a patient that every model finds easy says nothing. How
sure a model is, is counted in logits of e^-loss (after LiRA, Carlini et al. 2022, arXiv:2112.03570). So a loss that
falls from 0.2 to 0.1 counts like one that falls from 0.8 to 0.46, and the difficult patients do not decide alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedbrats.errors import ConfigurationError

RESAMPLES = 2000
LEVEL = 0.95
FALSE_POSITIVES = (0.01, 0.1)
LEAST_LOSS = 1e-6
LEAST = 3  # members, and others, below which no number is given


@dataclass(frozen=True)
class Membership:
    """How well members are told from others.

    Attributes:
        auc: how often a member has a higher score than another patient; 0.5 tells nothing. low, high: its 95 %
            bootstrap interval over patients.
        hits: by share of others that are taken for members: (share of members that are found, low, high), the interval
            of Clopper and Pearson.
    """

    members: int
    others: int
    auc: float
    low: float
    high: float
    hits: dict[str, tuple[float, float, float]]

    @property
    def tells_nothing(self) -> bool:
        """Whether 0.5 is within the interval."""
        return self.low <= 0.5 <= self.high

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def scores_of(losses: Mapping[str, float], references: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The score of each patient: higher for one that the model knows better than the references do.

    Args:
        losses: of the model, by patient; 0 or more.
        references: losses of models that did not train on the patient; one that did leaves the patient out.

    Raises: ConfigurationError where some patients have more references than others: the number of references would then
        tell who is who, and not the model.
    """
    known = {patient: [each[patient] for each in references if patient in each] for patient in losses}
    counts = Counter(len(others) for others in known.values())
    if len(counts) > 1:
        found = " and ".join(f"{counts[number]} have {number}" for number in sorted(counts))
        raise ConfigurationError(
            f"of the patients {found} references that did not train on them, and unlike scores cannot be compared; "
            f"give references that trained on none of them, such as the start, or as many for each patient: a model of "
            f"every other fold, and one of the same fold with another seed"
        )
    scores = {}
    for patient, loss in losses.items():
        others = [_sureness(each) for each in known[patient]]
        scores[patient] = _sureness(loss) - (float(np.mean(others)) if others else 0.0)
    return scores


def _sureness(loss: float) -> float:
    """e^-loss in logits."""
    return -float(np.log(np.expm1(max(loss, LEAST_LOSS))))


def measure(members: Sequence[float], others: Sequence[float], seed: int = 0) -> Membership | None:
    """Tell members from others by their scores, in whatever order; None where there are too few of either."""
    if min(len(members), len(others)) < LEAST:
        return None
    inside, outside = np.sort(np.asarray(members, np.float64)), np.sort(np.asarray(others, np.float64))
    wins = np.sign(inside[:, None] - outside[None, :]) / 2 + 0.5
    rng = np.random.default_rng(seed)
    n, m = len(inside), len(outside)
    rows = rng.multinomial(n, [1 / n] * n, RESAMPLES)  # how often each patient is drawn
    columns = rng.multinomial(m, [1 / m] * m, RESAMPLES)
    drawn = ((rows @ wins) * columns).sum(axis=1) / (n * m)
    low, high = np.percentile(drawn, (50 * (1 - LEVEL), 50 * (1 + LEVEL)))
    hits = {f"{share:g}": _hits_at(inside, outside, share) for share in FALSE_POSITIVES}
    return Membership(len(inside), len(outside), float(wins.mean()), float(low), float(high), hits)


def is_conclusive(audit: Mapping[str, Any]) -> bool:
    """Whether an audit, as `fedbrats audit` writes it, says something of its model.

    It does not where members are told from members. Where a network is not found that knows its patients by heart, the
    attack is weak: that it finds nothing says nothing then, but what it finds stands.
    """
    controls = {name: control["as_expected"] for name, control in audit["controls"].items()}
    return controls["members_against_members"] and (controls["by_heart"] or not audit["tells_nothing"])


def halves(names: Sequence[str], seed: int) -> tuple[list[str], list[str]]:
    """Two halves of the names by chance, for the control of members against members."""
    order = [sorted(names)[at] for at in np.random.default_rng(seed).permutation(len(names))]
    return order[: len(order) // 2], order[len(order) // 2 :]


def _hits_at(inside: NDArray[np.float64], outside: NDArray[np.float64], share: float) -> tuple[float, float, float]:
    """Members above the score that at most this share of the others reaches; the others in rising order."""
    from scipy.stats import binomtest  # who asks only whether an audit is conclusive needs no SciPy

    allowed = int(share * len(outside))
    limit = outside[::-1][allowed]
    found = int((inside > limit).sum())
    interval = binomtest(found, len(inside)).proportion_ci(LEVEL, method="exact")
    return found / len(inside), float(interval.low), float(interval.high)
