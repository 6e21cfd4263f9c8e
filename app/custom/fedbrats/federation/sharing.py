"""What a site shares and what stays its own: names split, and merged back.

A pattern is a full parameter name or a prefix that ends at a dot, so that `norm1.` never touches `norm10.weight`.
Everything here fails closed: a pattern without a match, a name too few or too many stops the round at that site.

FedPer: Arivazhagan et al. 2019 (arXiv:1912.00818), personal last layers; FedBN: Li et al. 2021 (arXiv:2102.07623),
personal normalisation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from fedbrats.errors import ConfigurationError, UpdateError
from fedbrats.federation.updates import Update

EVERYTHING = "all"  # the personal set of a site that shares nothing
SHARED_WHOLE = "none"  # the personal set of a job without personal weights


def split_names(names: Iterable[str], personal: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(shared, personal) names, each in the order given; without patterns everything is shared.

    Raises: ConfigurationError for a pattern that matches nothing.
    """
    names = tuple(names)
    patterns = tuple(personal)
    for pattern in patterns:
        if not any(matches(name, pattern) for name in names):
            raise ConfigurationError(
                f"The personal pattern '{pattern}' matches no parameter of this network; "
                "give a full parameter name or a prefix that ends with a dot."
            )
    own = tuple(name for name in names if any(matches(name, pattern) for pattern in patterns))
    shared = tuple(name for name in names if name not in set(own))
    return shared, own


def personal_in_round(personal: str, personal_rounds: int, round_number: int, total_rounds: float) -> str:
    """The personal set of one round, rounds counted from 0: everything in the last `personal_rounds` of a job.

    Nothing leaves a site in those: each fine-tunes the federation's last model (Wang et al. 2019, arXiv:1910.10252).
    """
    return EVERYTHING if round_number >= total_rounds - personal_rounds else personal


def personal_at_last(personal: str, personal_rounds: int) -> str:
    """The personal set of the models that a job ends with."""
    return EVERYTHING if personal_rounds else personal


def keep_personal(weights: Update, personal: Iterable[str]) -> dict[str, np.ndarray]:
    """The part of `weights` that stays at the site. Raises: ConfigurationError for a pattern that matches nothing."""
    _, own = split_names(weights, personal)
    return {name: weights[name] for name in own}


def merge(shared: Update, personal: Update, names: Iterable[str]) -> dict[str, np.ndarray]:
    """One model from the server's shared part and the site's personal part, in the order of `names`.

    Raises: UpdateError for a name that both parts hold, that neither holds, or that the network does not know.
    """
    names = tuple(names)
    _require_none(shared.keys() & personal.keys(), "are both shared and personal")
    _require_none(set(names) - shared.keys() - personal.keys(), "are missing")
    _require_none((shared.keys() | personal.keys()) - set(names), "are unknown to this network")
    parts: Mapping[str, np.ndarray] = {**shared, **personal}
    return {name: parts[name] for name in names}


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern means this name."""
    return name == pattern or (pattern.endswith(".") and name.startswith(pattern))


def _require_none(names: Iterable[str], complaint: str) -> None:
    offenders = sorted(names)
    if offenders:
        raise UpdateError(
            f"The model cannot be put together because {len(offenders)} names {complaint}, the first of them "
            f"'{offenders[0]}'; the site and the server must run the same network and the same personal set."
        )
