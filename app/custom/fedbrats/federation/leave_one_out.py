"""The model without one site's share of it, by which FedCE (Jiang 2023, arXiv:2303.16520) measures that site."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fedbrats.federation.updates import Update


def leave_out(received: Update, own: Update, weight: float) -> dict[str, np.ndarray]:
    """The "minus" model: the received model without this site's share of it, (global - w * own) / (1 - w).

    Args:
        received: the global model of this round.
        own: this site's weights after the previous round.
        weight: what they counted for in the received model, from 0 to below 1.
    """
    return {name: (value - weight * own[name]) / (1.0 - weight) for name, value in received.items()}


def own_weight(weights: Mapping[str, Any] | None, site: str) -> float | None:
    """This site's weight in the received model; None before FedCE has weighed it, and where it is the only one."""
    weight = (weights or {}).get(site)
    return float(weight) if weight is not None and 0.0 <= float(weight) < 1.0 else None
