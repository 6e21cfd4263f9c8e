"""How strongly training patches are changed, as settings."""

from __future__ import annotations

from pydantic import Field

from fedbrats.settings import Settings


class Augmentation(Settings):
    """How strongly patches are changed; 0 switches a change off."""

    flips: bool = True
    """Whether each axis of a patch is mirrored with probability one half."""
    intensity: float = Field(0.3, ge=0, le=1)
    """Largest relative gain, and largest shift in standard deviations, drawn for each modality."""
    noise: float = Field(0.1, ge=0, le=10)
    """Largest standard deviation of the noise that a third of the patches get."""
    rotation_degrees: float = Field(30.0, ge=0, le=180)
    """Largest rotation about each axis, in spatial_share of the patches."""
    scaling: float = Field(0.3, ge=0, le=0.9)
    """Largest relative zoom, in spatial_share of the patches."""
    spatial_share: float = Field(0.5, ge=0, le=1)
    """The share of the patches that are rotated and zoomed."""
    modality_dropout: float = Field(0.1, ge=0, le=1)
    """The share of the patches in which one modality is blanked out."""
