"""The settings of a job's privacy: differential privacy, and secure aggregation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fedbrats.settings import Settings


class PrivacySettings(Settings):
    """Differential privacy of patients: what a site adds to its training, and what that is counted by."""

    dp_noise: float | None = Field(None, gt=0, le=1000)
    """Noise of a private step, as a multiple of dp_clip; null trains without differential privacy."""
    dp_clip: float = Field(1.0, gt=0, le=1e6)
    """The largest norm of one patient's gradient in a private step; a longer one is shortened to it."""
    dp_patches: int = Field(4, ge=1, le=1024)
    """Patches of a patient in a private step; their mean gradient is the patient's."""
    dp_rate: float = Field(1.0, gt=0, le=1)
    """How likely each patient is to take part in a private step."""
    dp_delta: float = Field(1e-3, gt=0, lt=1)
    """The delta at which dp_epsilon is meant; smaller than one over the number of patients."""
    dp_epsilon: float | None = Field(None, gt=0, le=1e4)
    """The epsilon that the whole job may cost a patient. Where it is set, dp_noise is computed from it as the job is
    built, in place of the one that stands there."""


SiteName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]


class SecureSettings(Settings):
    """Secure aggregation: whether the server sees single updates."""

    secure: Literal["none", "pads"] = "none"
    """Whether sites cover their updates with pads, so that the server sees the sum of a round and no single update."""
    secure_sites: list[SiteName] | None = Field(None, json_schema_extra={"kind": "a list of names of sites"})
    """With pads: all sites of the job, by which each of them knows how large a sum must be. In a POC null stands for
    all sites; elsewhere they must be named."""
