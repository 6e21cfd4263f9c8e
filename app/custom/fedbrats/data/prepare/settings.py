"""How cases are prepared, as settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from fedbrats.errors import ConfigurationError
from fedbrats.settings import Settings, Sides

USUAL_MM = 2.0  # voxel size that the defaults are made for: network, patch and first weights
_NEAR = 0.01  # relative; a scan of 1.99 mm is one of 2 mm


class CacheSettings(Settings):
    """How cases are prepared.

    A fixed shape is what the study behind the preset `original` did.
    """

    spacing_mm: float | None = Field(None, ge=0.2, le=20)
    """Voxel size in mm to train at; null is 2 mm for scans with smaller voxels, and keeps the others' own."""
    normalisation: Literal["zscore", "minmax"] = "zscore"
    """zscore: mean 0 and deviation 1 inside the brain and 0 outside; minmax: 0 to 1 over the volume."""
    shape: Sides | None = None
    """Resize the whole, uncropped volume to this shape in voxels; excludes spacing_mm."""

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if self.shape is not None and self.spacing_mm is not None:
            raise ConfigurationError(
                f"a fixed shape {list(self.shape)} and spacing_mm {self.spacing_mm} exclude each other; set one of them"
            )
        return self

    def voxel_mm(self, own_mm: Sequence[float]) -> float | None:
        """The voxel size to prepare a scan of these edges in mm at; None leaves its own. Not for a fixed shape."""
        if self.spacing_mm is not None:
            return self.spacing_mm
        return USUAL_MM if min(own_mm) < USUAL_MM * (1 - _NEAR) else None

    def at(self, spacing_mm: float | None) -> CacheSettings:
        """These settings with the voxel size that null has turned out to be for all cases."""
        settled = self.spacing_mm is not None or self.shape is not None
        return self if settled else self.changed(spacing_mm=spacing_mm)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> CacheSettings:
        """Settings from a job's JSON. Raises: ConfigurationError for a name or value that cannot be."""
        return cls.read(document, "preparation")
