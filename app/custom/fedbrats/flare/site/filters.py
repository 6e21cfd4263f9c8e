"""The job's own filter at a site, after the site's gate: only shared weights leave, and doubt stops the result."""

from __future__ import annotations

from typing import Any

from nvflare.apis.dxo import DataKind
from nvflare.apis.filter import Filter
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.app_constant import AppConstants

from fedbrats.errors import UpdateError
from fedbrats.federation.sharing import personal_in_round, split_names
from fedbrats.flare.protocol import require_answer
from fedbrats.flare.said import keep_said
from fedbrats.jobs.settings import check_values
from fedbrats.model.network import SegmentationNetwork


class KeepShared(Filter):
    """Removes personal names from a site's update and fails closed.

    A result is stopped (FLARE then answers TASK_RESULT_FILTER_ERROR and sends nothing) when it is neither metrics nor
    weights, when it lacks a shared name of the network's or has another, when the personal set names nothing, and, in a
    job whose last rounds are personal, when it does not say its round.
    FLARE's own ExcludeVars lets everything pass where its pattern is of the wrong type, its unanchored search takes
    `head` for a part of `multihead`, and DXOFilter waves through whatever is not a DXO (seen in 2.9.0).

    Args:
        network: the preset whose names are the only ones known.
        personal, personal_rounds: as in SegmentationExecutor.
    """

    def __init__(self, network: str | dict[str, Any] = "fast", personal: str = "none", personal_rounds: int = 0):
        super().__init__()
        check_values({"network": network, "personal": personal, "personal_rounds": personal_rounds})
        self._network = SegmentationNetwork(network)
        self._personal = personal
        self._personal_rounds = personal_rounds
        self._names = tuple(self._network.state_dict())
        self._known = frozenset(self._names)
        self._shared_names(personal)  # a set that names nothing is found out before anything is trained

    def process(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        """Return the result without personal names; raises UpdateError, which stops it, in every other case."""
        if shareable.get_return_code() != ReturnCode.OK:
            return shareable
        dxo = require_answer(shareable)
        if dxo.data_kind == DataKind.METRICS:
            return shareable
        if dxo.data_kind not in (DataKind.WEIGHT_DIFF, DataKind.WEIGHTS):
            raise UpdateError(f"nothing is sent: results of kind {dxo.data_kind} are not known to this filter")
        shared = self._shared_names(self._personal_of(shareable))
        # A site's own filter, which comes first, may have taken personal names out already.
        strangers = sorted((set(dxo.data) - self._known) | (set(shared) - set(dxo.data)))
        if strangers:
            shown = ", ".join(strangers[:3]) + (" ..." if len(strangers) > 3 else "")
            raise UpdateError(f"nothing is sent: the result and the network differ in the names {shown}")
        dxo.data = {name: dxo.data[name] for name in shared}
        keep_said(dxo, shared)
        return dxo.update_shareable(shareable)

    def _personal_of(self, answer: Shareable) -> str:
        """The personal set of the round that is answered. Raises: UpdateError where that cannot be told."""
        if not self._personal_rounds:
            return self._personal
        number, total = (answer.get_header(key) for key in (AppConstants.CURRENT_ROUND, AppConstants.NUM_ROUNDS))
        if not isinstance(number, int) or not isinstance(total, int):
            raise UpdateError("nothing is sent: the result does not say which of how many rounds it belongs to")
        return personal_in_round(self._personal, self._personal_rounds, number, total)

    def _shared_names(self, personal: str) -> tuple[str, ...]:
        return split_names(self._names, self._network.personal_names(personal))[0]
