"""What the server makes of the updates of a round, apart from the rule of its aggregator."""

from __future__ import annotations

from pydantic import Field

from fedbrats.settings import Settings


class Averaging(Settings):
    """Of every aggregator."""

    clip_multiple: float = Field(2.0, ge=0, le=1000)
    """An update longer than this many times the round's median length is shortened to it; 0 shortens none."""
    weight_power: float = Field(1.0, ge=0, le=1)
    """Sites weigh by their cases to this power: 1 by cases, 0.5 by the square root of them, 0 all alike."""
