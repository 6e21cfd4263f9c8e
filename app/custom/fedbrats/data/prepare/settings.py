"""How cases are prepared, as settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from fedbrats.errors import ConfigurationError
from fedbrats.settings import Settings, Sides


class CacheSettings(Settings):
    """How cases are prepared.

    A fixed shape is what the study behind the preset `original` did.
    """

    spacing_mm: float | None = Field(None, ge=0.2, le=20)
    """Voxel size in mm to train at; null keeps the scan's own."""
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

    def at(self, spacing_mm: float | None) -> CacheSettings:
        """These settings with the voxel size that "the scan's own" has turned out to be."""
        settled = self.spacing_mm is not None or self.shape is not None
        return self if settled else self.changed(spacing_mm=spacing_mm)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> CacheSettings:
        """Settings from a job's JSON. Raises: ConfigurationError for a name or value that cannot be."""
        return cls.read(document, "preparation")
