"""Which hooks the settings of a job ask for."""

from __future__ import annotations

from fedbrats.model.settings import TrainingSettings
from fedbrats.site.hooks.arrival_gate import ArrivalGate
from fedbrats.site.hooks.hook import SiteHook
from fedbrats.site.hooks.minus_score import MinusScore
from fedbrats.site.hooks.personal_layers import PersonalLayers
from fedbrats.site.hooks.private import PrivateTraining
from fedbrats.site.hooks.proximal import ProximalTerm


def choose_hooks(
    settings: TrainingSettings,
    *,
    personal: str = "none",
    personal_rounds: int = 0,
    measure_minus_model: bool = False,
    private: PrivateTraining | None = None,
) -> tuple[SiteHook, ...]:
    """The hooks of a job, in the order in which they act.

    Args:
        personal, personal_rounds: as of PersonalLayers.
        measure_minus_model: whether the server's method is FedCE.
        private: the steps of a job with differential privacy.
    """
    hooks: list[SiteHook] = [ArrivalGate(), PersonalLayers(personal, personal_rounds)]
    if measure_minus_model:
        hooks.append(MinusScore())
    if private:
        hooks.append(private)
    return (*hooks, *choose_step_hooks(settings))


def choose_step_hooks(settings: TrainingSettings) -> tuple[SiteHook, ...]:
    """Those that change the steps alone, and so act where there is no federation too."""
    return (ProximalTerm(settings.proximal_mu),) if settings.proximal_mu else ()
