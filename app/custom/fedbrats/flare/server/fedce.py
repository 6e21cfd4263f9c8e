"""FLARE's own FedCE (Jiang 2023, arXiv:2303.16520) behind our gates and with our executor, to compare with.

FLARE 2.9.0 ships FedCE for its FedAvg controller and Client API scripts. Its aggregator needs three things of the
others, and gets them here: the site's name and the error of a leave-one-out ("minus") model with each difference, and
the weights of the last round with each task. By its design every site learns every site's weight; our factor never
tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_opt.pt.fedce import FedCEConstants, FedCEModelAggregator

from fedbrats.federation.aggregator import Aggregator, Combined, weighted_rows
from fedbrats.federation.gates import Contribution
from fedbrats.flare.protocol import FEDCE_WEIGHTS

MEMORY = ("_contribution_weights", "_cosine_means", "_cosine_counts")
NEUTRAL_SCORE = 0.5  # before a site has a model of its own there is nothing to leave out


class FedCE(Aggregator):
    """FLARE's FedCEModelAggregator as a method; needs executors with `measure_minus_model`.

    Args:
        mode: How FedCE combines its two signals.
    """

    weighs_by_cases = False

    def __init__(self, mode: Literal["plus", "times"] = "plus"):
        self._fedce = FedCEModelAggregator(mode=mode)

    def combine(self, contributions: Sequence[Contribution], round_number: int) -> Combined:
        """The mean update weighted by FedCE, whose weights go out with the next task."""
        self._fedce.reset_stats()
        for each in contributions:
            score = NEUTRAL_SCORE if each.minus_score is None else each.minus_score
            meta = {"client_name": each.site, FedCEConstants.MINUS_MODEL_SCORE: score}
            self._fedce.accept_model(FLModel(params_type=ParamsType.DIFF, params=dict(each.update), meta=meta))
        model = self._fedce.aggregate_model()
        weights = {site: float(weight) for site, weight in model.meta[FEDCE_WEIGHTS].items()}
        update = {name: np.asarray(value, dtype=np.float32) for name, value in model.params.items()}
        return Combined(update, weighted_rows(contributions, weights), {FEDCE_WEIGHTS: weights})

    def state(self) -> Mapping[str, Any]:
        """What FedCE remembers of every site, which FLARE 2.9.0 keeps in private attributes."""
        return {name: dict(getattr(self._fedce, name)) for name in MEMORY}

    def restore(self, state: Mapping[str, Any]) -> None:
        """FedCE as it was."""
        for name in MEMORY:
            setattr(self._fedce, name, dict(state[name]))
