"""Jobs with differential privacy: what does not go together with it, and the noise that an epsilon asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedbrats.errors import ConfigurationError
from fedbrats.privacy.settings import PrivacySettings

# Variables that would send what no private step covers, each with the value that does not, and why.
ALONE: Mapping[str, tuple[Any, str]] = {
    "validate_received": (False, "a Dice of a round tells of patients, and no noise covers it"),
    "validate_trained": (False, "a Dice of a round tells of patients, and no noise covers it"),
    "measure_minus_model": (False, "the score of FedCE tells of patients, and no noise covers it"),
    "hooks": ({}, "nobody has counted what a method's hooks tell of patients"),
    "compression": ("none", "error feedback carries what one round left out into the next"),
    "personal_rounds": (0, "nothing leaves a site in those rounds; `fedbrats personalise` fits a model there"),
    "phantom_share": (0.0, "a private step draws patients alone"),
    "local_epochs": (None, "the number of steps is counted, and must not depend on the site's cases"),
}


def is_private(values: Mapping[str, Any]) -> bool:
    """Whether a job trains with differential privacy."""
    return values.get("dp_noise") is not None or values.get("dp_epsilon") is not None


def check_private(values: Mapping[str, Any]) -> None:
    """Refuse what does not go together with differential privacy. Raises: ConfigurationError."""
    if not is_private(values):
        return
    for name, (needed, why) in ALONE.items():
        if name in values and values[name] != needed:
            raise ConfigurationError(
                f"{name} is {values[name]} in a job with differential privacy, expected {needed}: {why}"
            )


def solved_noise(values: Mapping[str, Any]) -> float | None:
    """The dp_noise that a job's dp_epsilon asks for; None where it has none.

    Raises: ConfigurationError where no noise does, or Opacus is not installed.
    """
    if values.get("dp_epsilon") is None:
        return None
    from fedbrats.privacy.accounting import solve_noise

    settings = PrivacySettings(
        **{name: values[name] for name in PrivacySettings.model_fields if name in values and name != "dp_noise"}
    )
    assert settings.dp_epsilon is not None
    steps = values["num_rounds"] * values["local_steps"]
    return solve_noise(settings.dp_epsilon, settings.dp_delta, settings.dp_rate, steps)
