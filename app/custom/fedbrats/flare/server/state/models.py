"""The models that the server keeps beside the global one: the best, and the one to roll back to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nvflare.apis.fl_context import FLContext
from nvflare.app_common.abstract.model import make_model_learnable
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType

from fedbrats.federation.averaging import Averaging
from fedbrats.federation.rollback import Judgement, Verdict, judge
from fedbrats.flare.server.state.last_rounds import LastRounds
from fedbrats.flare.server.state.stored import Model


class ModelHistory:
    """The best model and the rollback baseline of a job.

    Args:
        rollback_drop: how much mean Dice the median site may lose before the baseline takes the model's place; None
            never rolls back.
        last_rounds: makes the final model.

    Attributes:
        best: the model that FLARE's selector has named, with its `score`, `round` and `meta`.
        baseline: the last model that no rollback was needed for, with the sites' `scores`, its `round` and `meta`.
        rolls_back: whether the present round's model is to be given up for the baseline.
    """

    def __init__(self, rollback_drop: float | None, last_rounds: LastRounds | None = None):
        self._rollback_drop = rollback_drop
        self.last_rounds = last_rounds or LastRounds(Averaging(), 0)
        self.best: Model | None = None
        self.baseline: Model | None = None
        self.rolls_back = False

    def judge(
        self, round_number: int, scores: Mapping[str, float], copy_model: Callable[[dict[str, Any]], Model]
    ) -> Judgement | None:
        """Decide what becomes of the model that a round began with; None where no job of this kind rolls back.

        Args:
            round_number: of the round.
            scores: by site, the Dice of this model.
            copy_model: makes a copy of it with what is said of it.
        """
        self.rolls_back = False
        if self._rollback_drop is None:
            return None
        found = judge(scores, self.baseline.about["scores"] if self.baseline else None, self._rollback_drop)
        if found.verdict is Verdict.NEW_BASELINE:
            self.baseline = copy_model({"scores": dict(scores), "round": round_number})
        self.rolls_back = found.verdict is Verdict.ROLL_BACK
        return found

    def as_stored(self) -> dict[str, Model]:
        """The models that there are, under the names that the server's state has for them."""
        models = {kind: model for kind, model in (("best", self.best), ("good", self.baseline)) if model}
        return models | {kind: Model(weights) for kind, weights in self.last_rounds.as_stored().items()}

    def take(self, models: Mapping[str, Model]) -> None:
        """Go on with the models of a stored state."""
        self.best, self.baseline = models.get("best"), models.get("good")
        self.last_rounds.take({kind: model.weights for kind, model in models.items()})


def restore_best(model: Model, selector: Any, persistor: Any, fl_ctx: FLContext) -> None:
    """Give FLARE's selector and persistor the best model of an earlier job.

    The context's global model is this one afterwards.
    """
    if selector is not None:
        selector.best_val_metric = model.about["score"]
    best = make_model_learnable(dict(model.weights), dict(model.about["meta"]))
    fl_ctx.set_prop(AppConstants.GLOBAL_MODEL, best, private=True, sticky=True)
    persistor.handle_event(AppEventType.GLOBAL_BEST_MODEL_AVAILABLE, fl_ctx)
