"""What a site is asked in a round, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedbrats.site_report import SiteReport

Weights = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class RoundTask:
    """One local round.

    Attributes:
        weights: the global model, float32 by name.
        round_number: from 0.
        total_rounds: of the job.
        shares: what each site counted for in these weights, where the server tells.
        told: what the job's method tells every site with the model, as its `Aggregator.tell`.
        repeat: how often this site has padded an update of this round before; each time is trained on other batches.
    """

    weights: Weights
    round_number: int
    total_rounds: int
    shares: Mapping[str, float] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)
    repeat: int = 0


@dataclass(frozen=True)
class RoundAnswer:
    """What came of a local round; what stays at the site is on its disk already.

    Attributes:
        update: trained minus received weights by name, of every name: gates and filters take out what is personal.
        report: what the site says of the round.
        said: what the job's method has the site say besides, by the cases that it tells of.
    """

    update: dict[str, np.ndarray]
    report: SiteReport
    said: dict[str, dict[str, Any]] = field(default_factory=dict)
