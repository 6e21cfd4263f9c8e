"""Which hooks the settings of a job ask for."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from fedbrats.errors import ConfigurationError, FedbratsError, UpdateError
from fedbrats.extensions.choice import read_choices
from fedbrats.extensions.loading import build
from fedbrats.model.settings import TrainingSettings
from fedbrats.site.hooks.arrival_gate import ArrivalGate
from fedbrats.site.hooks.best_of import BestOf
from fedbrats.site.hooks.hook import SiteHook
from fedbrats.site.hooks.minus_score import MinusScore
from fedbrats.site.hooks.personal_layers import PersonalLayers
from fedbrats.site.hooks.private import PrivateTraining
from fedbrats.site.hooks.proximal import ProximalTerm

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def choose_hooks(
    settings: TrainingSettings,
    *,
    personal: str = "none",
    personal_rounds: int = 0,
    best_of: bool = False,
    measure_minus_model: bool = False,
    private: PrivateTraining | None = None,
    hooks: Mapping[str, Any] | None = None,
) -> tuple[SiteHook, ...]:
    """The hooks of a job, in the order in which they act.

    Args:
        personal, personal_rounds: as of PersonalLayers.
        best_of: whether the site chooses among its models at the end.
        measure_minus_model: whether the server's method is FedCE.
        private: the steps of a job with differential privacy.
        hooks: classes of a method, with their arguments; they act after the others.

    Raises: ConfigurationError for a class that may not run here, two that would keep their state in one file, or what
        trains or tells beside private steps.
    """
    if private and (hooks or best_of or measure_minus_model):
        beside = "hooks" if hooks else "best_of" if best_of else "measure_minus_model"
        raise ConfigurationError(
            f"a job with differential privacy has no {beside}: nobody has counted what it tells of patients"
        )
    layers = PersonalLayers(personal, personal_rounds)
    chosen: list[SiteHook] = [ArrivalGate(), layers]
    if best_of:
        chosen.append(BestOf(layers, personal_rounds))
    if measure_minus_model:
        chosen.append(MinusScore())
    if private:
        chosen.append(private)
    chosen += choose_step_hooks(settings)
    chosen += [told_by_name(build("hooks", each), each.name) for each in read_choices(hooks or {}, "hooks")]
    names = [hook.name for hook in chosen]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigurationError(f"hooks: two of them are named {twice!r:.60}, and a name is that of a hook's state")
    if strange := next((name for name in names if not NAME.fullmatch(name)), None):
        raise ConfigurationError(f"hooks: {strange!r:.60} is no name of a hook: lower letters, digits and _ only")
    return tuple(chosen)


def told_by_name(hook: SiteHook, path: str) -> SiteHook:
    """The hook, whose errors become one sentence with its name: a round of the site fails, and its log says why."""

    def guarded(place: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            try:
                return method(*arguments, **more)
            except FedbratsError:
                raise
            except Exception as error:  # somebody's own code: whatever it raises
                raise UpdateError(f"the hook {path} failed in {place}: {error!r:.300}") from error

        return call

    for place, found in inspect.getmembers(hook, inspect.ismethod):
        if not place.startswith("_"):
            setattr(hook, place, guarded(place, found))
    return hook


def choose_step_hooks(settings: TrainingSettings) -> tuple[SiteHook, ...]:
    """Those that change the steps alone, and so act where there is no federation too."""
    return (ProximalTerm(settings.proximal_mu),) if settings.proximal_mu else ()
