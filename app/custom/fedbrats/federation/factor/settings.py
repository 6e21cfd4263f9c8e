"""Every constant of the Contribution Factor, with its meaning."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from fedbrats.errors import ConfigurationError
from fedbrats.settings import Settings


class FactorSettings(Settings):
    """The constants of docs/reference/contribution.md; the defaults are those that its simulations were run with."""

    copy_threshold: float = Field(0.98, ge=0, le=1)
    """Updates whose cosine is above this may be copies of each other."""
    copy_ratio: float = Field(0.1, ge=0, le=1)
    """They are copies where they are also closer than this share of the usual distance between sites."""
    coherence_scale: float = Field(0.10, gt=0, le=1)
    """The median site's alignment from which alignment is full evidence."""
    memory: float = Field(0.7, ge=0, lt=1)
    """How much of the evidence so far stays when a round is added."""
    usefulness_limit: float = Field(0.3, ge=0, le=1)
    """A change of Dice beyond this counts as this."""
    alignment_deviation: float = Field(0.05, gt=0, le=2)
    """Sites whose alignments differ by less than this are alike."""
    usefulness_deviation: float = Field(0.03, gt=0, le=1)
    """Sites whose changes of Dice differ by less than this are alike."""
    least_evidence: float = Field(-3.0, ge=-100, le=0)
    """What one round can say against a site at most, in log units."""
    smallest_factor: float = Field(0.5, gt=0, le=1)
    """No factor is smaller."""
    largest_factor: float = Field(2.0, ge=1, le=1000)
    """No factor is larger."""
    smallest_share: float = Field(0.5, ge=0, le=1)
    """A site that is not in quarantine keeps at least this share of its prior weight."""
    largest_weight: float = Field(0.5, gt=0, le=1)
    """No site weighs more than this, unless its cases alone say so."""
    coherent: float = Field(0.5, ge=0, le=1)
    """The coherence from which a round counts for quarantine."""
    remembered_distance: float = Field(2.0, gt=0, le=1e6)
    """The distance of the model's way that quarantine remembers; a round in which all sites agree has distance 1."""
    quarantine_rounds: int = Field(2, ge=2, le=1000)
    """Coherent rounds before which no site is quarantined; never in its first."""
    quarantine_share: float = Field(0.25, ge=0, le=1)
    """A site whose standing is below this share of the median site's is quarantined."""
    release_share: float = Field(0.5, ge=0, le=1)
    """A quarantined site is released when its standing is above this share."""
    sketched: bool = False
    """Whether cosines are computed from sketches of 4096 numbers instead of whole updates."""

    @model_validator(mode="after")
    def _released_above_quarantine(self) -> Self:
        if self.release_share < self.quarantine_share:
            raise ConfigurationError(
                f"release_share {self.release_share} is below quarantine_share {self.quarantine_share}, so that a site "
                f"would be released and quarantined in turns; make it at least as large"
            )
        return self
