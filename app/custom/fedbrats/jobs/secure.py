"""Jobs with secure aggregation: what pads cannot do, and the sites that a job must name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedbrats.errors import ConfigurationError
from fedbrats.privacy.secure.messages import check_enough

PADS = "pads"
# Methods whose update is a sum of the sites' updates with weights that follow from sketches.
SUMS = ("fedbrats.methods.fedavg.WeightedFedAvg", "fedbrats.methods.contribution.ContributionFactor")
# Hooks of sites that say nothing beside their update.
QUIET_HOOKS = ("fedbrats.methods.ditto.Ditto", "fedbrats.methods.fedrep.HeadThenBody")
# Variables that need single updates, each with the value that does not, and why.
ALONE: Mapping[str, tuple[Any, str]] = {
    "compression": ("none", "compressed updates are floating numbers, which pads do not cover"),
    "measure_minus_model": (False, "a model without one site's share needs that site's update"),
}


def uses_pads(values: Mapping[str, Any]) -> bool:
    """Whether the server of a job sees sums alone."""
    return values.get("secure", "none") == PADS


def check_secure(values: Mapping[str, Any]) -> None:
    """Refuse what does not go together with pads. Raises: ConfigurationError in one sentence."""
    if not uses_pads(values):
        return
    method = values.get("aggregator", SUMS[0])
    if method not in SUMS:
        raise ConfigurationError(
            f"secure=pads hides single updates, and {str(method).rpartition('.')[2]} needs them; take a job like "
            f"fedavg, fedprox, fedper, fine_tuned or contribution, or secure=none"
        )
    for name, (needed, why) in ALONE.items():
        if values.get(name, needed) != needed:
            raise ConfigurationError(f"{name} is {values[name]} in a job with secure=pads, expected {needed}: {why}")
    if loud := sorted(set(values.get("hooks") or {}) - set(QUIET_HOOKS)):
        raise ConfigurationError(f"secure=pads covers updates alone, and the hook {loud[0]:.100} may say more")
    if values.get("personal") == "all":
        raise ConfigurationError("secure=pads has nothing to cover where personal=all: nothing is shared")
    if (sites := values.get("secure_sites")) is not None:
        check_enough(len(set(sites)))


def require_sites(values: Mapping[str, Any]) -> None:
    """Refuse a job with pads that does not say among which sites. Raises: ConfigurationError."""
    if uses_pads(values) and not values.get("secure_sites"):
        raise ConfigurationError(
            "secure=pads needs the names of all sites of the job, by which each knows how large a sum must be; add "
            '--set \'secure_sites=["NAME", "NAME", "NAME"]\''
        )


def refuse_simulated(values: Mapping[str, Any]) -> None:
    """Refuse pads where sites have no certificates. Raises: ConfigurationError."""
    if uses_pads(values):
        raise ConfigurationError(
            "secure=pads needs the certificates of startup kits, and simulated sites have none; use `fedbrats poc run`"
        )
