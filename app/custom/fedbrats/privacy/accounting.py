"""What private steps cost: epsilon at a delta, by Opacus' accountants.

The PRV accountant (Gopi et al. 2021, arXiv:2106.02848) gives the number; Renyi accounting (Mironov 2017,
arXiv:1702.07476) is quick and never below it, so it bounds what the other takes long for.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fedbrats.errors import ConfigurationError

LARGEST_PRV = 200.0  # beyond it the PRV grid takes minutes, and nobody is protected
PRECISION = 0.005  # of a noise that is solved for
EXTRA = "fedbrats[privacy]"


@dataclass(frozen=True)
class PrivateSteps:
    """Steps of one kind. `noise` and `rate` as of `dp_noise` and `dp_rate`."""

    noise: float
    rate: float
    steps: int


def epsilon(spent: Iterable[PrivateSteps], delta: float) -> float:
    """The epsilon of all these steps on the same patients: an upper bound within 0.01 of PRV's; 0 for none.

    Raises: ConfigurationError where Opacus is not installed.
    """
    bound = epsilon_bound(spent := tuple(spent), delta)
    if not spent or bound > LARGEST_PRV:
        return bound
    return min(bound, _account("prv", spent, delta))


def epsilon_bound(spent: Iterable[PrivateSteps], delta: float) -> float:
    """An upper bound of `epsilon` in a fraction of the time. Raises: ConfigurationError as `epsilon`."""
    return _account("rdp", spent, delta)


def solve_noise(target: float, delta: float, rate: float, steps: int) -> float:
    """The smallest noise, to 0.5 %, with which so many steps cost at most the epsilon `target`.

    Raises: ConfigurationError where no noise up to 1000 does, or Opacus is not installed.
    """

    def cost(noise: float) -> float:
        return epsilon([PrivateSteps(noise, rate, steps)], delta)

    def bound(noise: float) -> float:
        return epsilon_bound([PrivateSteps(noise, rate, steps)], delta)

    if bound(1000.0) > target:
        raise ConfigurationError(
            f"no noise up to 1000 makes {steps} steps cost epsilon {target:g} at delta {delta:g}; take fewer rounds or "
            f"local_steps, or a smaller dp_rate"
        )
    low, high = 0.05, 1000.0
    while high / low > 1 + PRECISION:  # by the quick bound, which asks for too much noise
        middle = math.sqrt(low * high)
        low, high = (low, middle) if bound(middle) <= target else (middle, high)
    low = 0.7 * high
    if cost(low) <= target:
        return low
    while high / low > 1 + PRECISION:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if cost(middle) <= target else (middle, high)
    return math.ceil(high * 1000) / 1000


def require_accountant() -> None:
    """Raise ConfigurationError where Opacus is not installed: nothing private is trained that nobody can count."""
    _opacus()


def _account(mechanism: str, spent: Iterable[PrivateSteps], delta: float) -> float:
    accountants = _opacus()
    steps: Counter[tuple[float, float]] = Counter()
    for each in spent:
        steps[each.noise, each.rate] += each.steps
    history = [(noise, rate, count) for (noise, rate), count in sorted(steps.items()) if count]
    if not history:
        return 0.0
    accountant = accountants.create_accountant(mechanism)
    accountant.history = history
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of orders at the end of their range, and of log(0) on the way to -inf
        found = float(accountant.get_epsilon(delta=delta))
    return found if math.isfinite(found) else math.inf


def _opacus() -> Any:
    try:
        return importlib.import_module("opacus.accountants")
    except ImportError:
        raise ConfigurationError(
            f"differential privacy needs Opacus, which counts what it costs, and it is not installed here: install "
            f"{EXTRA}"
        ) from None
