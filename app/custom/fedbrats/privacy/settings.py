"""The settings of differential privacy in a job."""

from __future__ import annotations

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
