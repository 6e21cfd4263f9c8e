"""How many bytes a round moved, arrays only: FLARE's envelope around one is a few hundred bytes."""

from __future__ import annotations

from typing import Any

from nvflare.apis.dxo import DXO

from fedbrats.flare.protocol import TRAVELLED


def count_bytes(weights: Any) -> int:
    """The size of named arrays; 0 for anything else."""
    return sum(getattr(value, "nbytes", 0) for value in weights.values()) if isinstance(weights, dict) else 0


def count_sent(answer: DXO | None) -> int:
    """The bytes of an answer as it travelled: compressed, they are fewer than those of its arrays."""
    if answer is None:
        return 0
    whole = count_bytes(answer.data)
    travelled = answer.get_meta_prop(TRAVELLED)
    return min(travelled, whole) if isinstance(travelled, int) and travelled > 0 else whole
