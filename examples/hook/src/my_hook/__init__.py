"""Only the largest changes travel; the others wait at the site (Aji and Heafield 2017, arXiv:1704.05021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field

from fedbrats.site.hooks.hook import SiteHook


class MyHook(SiteHook):
    """Sends a share of each array's numbers, the largest, and adds the others to the next round's update.

    Args:
        share: The share of the numbers that travels in a round.
    """

    name = "my_hook"

    def __init__(self, share: Annotated[float, Field(gt=0, le=1)] = 0.1) -> None:
        self._share = share
        self._waiting: dict[str, np.ndarray] = {}  # by name; empty before the first round

    def change_update(self, update: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The largest changes, with those that waited; the others wait."""
        whole = {name: value + self._waiting.get(name, 0) for name, value in update.items()}
        sent = {name: self._largest(value) for name, value in whole.items()}
        self._waiting = {name: (value - sent[name]).astype(value.dtype) for name, value in whole.items()}
        return sent

    def state(self) -> Mapping[str, np.ndarray] | None:
        """What waits: without it, a site that is restarted would lose it."""
        return self._waiting or None

    def restore(self, state: Mapping[str, np.ndarray] | None) -> None:
        """Take up what waits; None before the first round."""
        self._waiting = dict(state or {})

    def _largest(self, value: np.ndarray) -> np.ndarray:
        count = max(1, round(self._share * value.size))
        least = np.partition(np.abs(value).ravel(), -count)[-count]
        return np.where(np.abs(value) >= least, value, 0).astype(value.dtype)
