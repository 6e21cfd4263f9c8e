"""Rounds whose last shared one ends with the model that `LastRounds` makes."""

from __future__ import annotations

from typing import Any

from nvflare.apis.fl_context import FLContext
from nvflare.app_common.abstract.model import ModelLearnableKey
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType

from fedbrats.errors import FedbratsError
from fedbrats.federation.averaging import Averaging
from fedbrats.flare.server.padded.rounds import PaddedRounds
from fedbrats.flare.server.state.last_rounds import LastRounds


class FinalModelRounds(PaddedRounds):
    """Rounds with a quorum, with or without pads, and a final model from several of them.

    Args:
        averaged_rounds, pull_back: the settings of `fedbrats.federation.averaging.Averaging`.
        personal_rounds: as in SegmentationExecutor.
        rounds: as of PaddedRounds.
    """

    def __init__(
        self,
        participation: dict[str, Any] | None = None,
        averaged_rounds: int = 1,
        pull_back: float = 0.0,
        personal_rounds: int = 0,
        **rounds: Any,
    ):
        averaging = Averaging(averaged_rounds=averaged_rounds, pull_back=pull_back)
        super().__init__(participation, **rounds)
        self._last_rounds = LastRounds(averaging, self._num_rounds - personal_rounds - 1)

    def fire_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """As FLARE's; then the first weights are remembered, and the final model takes the place of the last."""
        super().fire_event(event_type, fl_ctx)
        if event_type == AppEventType.ROUND_STARTED and self._current_round == 0:
            self._last_rounds.begin(self._global_weights[ModelLearnableKey.WEIGHTS])
        elif event_type == AppEventType.AFTER_SHAREABLE_TO_LEARNABLE:
            try:
                weights = self._global_weights[ModelLearnableKey.WEIGHTS]
                final = self._last_rounds.after_round(self._current_round, weights)
            except FedbratsError as error:
                self.system_panic(str(error), fl_ctx)
                return
            if final is not None:
                self._global_weights[ModelLearnableKey.WEIGHTS] = final
                fl_ctx.set_prop(AppConstants.GLOBAL_MODEL, self._global_weights, private=True, sticky=True)
