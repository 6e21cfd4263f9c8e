"""Filters that pack models and updates on one side and unpack them on the other; both do nothing for `none`.

    server, task data: Compress -> site, task data: Decompress      the model of a round
    site, task result: Compress -> server, task result: Decompress  the site's update, with error feedback

FLARE's own quantisation (ModelQuantizer) needs bitsandbytes, whose 8-bit kernels want CUDA, and has no error feedback.
"""

from __future__ import annotations

from typing import Any

from nvflare.apis.dxo import DXO, DataKind, from_shareable
from nvflare.apis.filter import Filter
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.app_constant import AppConstants

from fedbrats.errors import UpdateError
from fedbrats.federation.compression import (
    NONE,
    ErrorFeedback,
    check_kind,
    pack,
    unpack,
    unpack_parts,
)
from fedbrats.flare.protocol import (
    PACKED_CODES,
    PACKED_KIND,
    PACKED_NAMES,
    PACKED_SCALES,
    TRAVELLED,
)
from fedbrats.model.network import SegmentationNetwork


class Compress(Filter):
    """Packs weights and updates.

    Args:
        kind: `none`, `float16` or `int8`.
    """

    def __init__(self, kind: str = NONE):
        super().__init__()
        self._kind = check_kind(kind)
        self._feedback = ErrorFeedback(kind)

    def process(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        """Return the packed model or update; raises UpdateError, which stops it, where it cannot be packed."""
        dxo = _read(shareable) if self._kind != NONE else None
        if dxo is None or not dxo.data:
            return shareable
        is_update = dxo.data_kind == DataKind.WEIGHT_DIFF
        if is_update:
            packed = self._feedback.pack(dxo.data, shareable.get_header(AppConstants.CURRENT_ROUND))
        else:
            packed = pack(dxo.data, self._kind)
        dxo.data = {PACKED_CODES: packed.codes, PACKED_SCALES: packed.scales}
        dxo.set_meta_prop(PACKED_KIND, self._kind)
        dxo.set_meta_prop(PACKED_NAMES, list(packed.names))
        return dxo.update_shareable(shareable)


class Decompress(Filter):
    """Unpacks what Compress has packed, and nothing that is larger than the network.

    Args:
        network: the preset whose names and shapes are the only ones known.
        kind: what is expected; anything else is refused.
    """

    def __init__(self, network: str | dict[str, Any] = "fast", kind: str = NONE):
        super().__init__()
        self._kind = check_kind(kind)
        weights = SegmentationNetwork(network).state_dict() if kind != NONE else {}
        self._shapes = {name: tuple(value.shape) for name, value in weights.items()}

    def process(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        """Return the model or update itself; raises UpdateError, which stops it, where it cannot be unpacked."""
        dxo = _read(shareable) if self._kind != NONE else None
        if dxo is None or not dxo.data:
            return shareable
        names = dxo.get_meta_prop(PACKED_NAMES)
        if dxo.get_meta_prop(PACKED_KIND) != self._kind or not isinstance(names, list):
            raise UpdateError(f"what arrived is not compressed as {self._kind}")
        packed = unpack_parts(dxo.data.get(PACKED_CODES), dxo.data.get(PACKED_SCALES), names)
        dxo.data = unpack(packed, self._shapes, self._kind)
        dxo.meta = {key: value for key, value in dxo.meta.items() if key not in (PACKED_KIND, PACKED_NAMES)}
        dxo.set_meta_prop(TRAVELLED, packed.nbytes)
        return dxo.update_shareable(shareable)


def _read(shareable: Shareable) -> DXO | None:
    """The weights or the update in a message; None where it holds none, a failure or metrics."""
    if shareable.get_return_code() not in (None, ReturnCode.OK):
        return None
    try:
        dxo: Any = from_shareable(shareable)
    except ValueError:
        return None
    is_packable = dxo.data_kind in (DataKind.WEIGHTS, DataKind.WEIGHT_DIFF) and isinstance(dxo.data, dict)
    return dxo if is_packable else None
