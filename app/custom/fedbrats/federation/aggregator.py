"""An aggregation method: what becomes of the updates of a round that passed the gates. numpy alone, no FLARE.

One of your own is a subclass in a package of your own (docs/guide/own-method.md); those of fedbrats are in
`fedbrats/methods`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from fedbrats.errors import UpdateError
from fedbrats.federation.gates import Contribution
from fedbrats.federation.said import Said
from fedbrats.federation.updates import Update, require_same_form


@dataclass(frozen=True)
class Combined:
    """What a round comes to.

    Attributes:
        update: what is added to the model, by name.
        rows: a row a site for the recorder: `site`, `prior`, `weight` (None where the rule has none), and what else
            the method wants to be known.
        meta: what goes out with the next model. Every site sees it.
    """

    update: Update
    rows: list[dict[str, Any]]
    meta: dict[str, Any] = field(default_factory=dict)


class Aggregator:
    """Makes one update of those of a round; a subclass overrides `combine`, and what else it needs.

    The arguments of a subclass's constructor are the method's settings: each has an annotation, a default, and a
    sentence under `Args:` of the docstring.

    Attributes:
        weighs_by_cases: whether the rule looks at the numbers of cases; one that does not refuses `weight_power`.
        weight_power: sites weigh by their cases to this power; the job's setting, given before the first round.
        hears: what every site of this method says besides its update, by name; an answer without it is refused.
    """

    weighs_by_cases: ClassVar[bool] = True
    weight_power: float = 1.0
    hears: ClassVar[Mapping[str, Said]] = {}

    def combine(self, contributions: Sequence[Contribution], round_number: int) -> Combined:
        """The update of the global model and a row a site.

        Args:
            contributions: those of the round that passed the gates, at least one, ordered by site.
            round_number: from 0.
        """
        raise NotImplementedError

    def tell(self) -> Mapping[str, Any]:
        """Numbers, arrays and mappings of names to arrays that every site gets with the next model (`task.told`)."""
        return {}

    def state(self) -> Mapping[str, Any]:
        """What the next round needs of those before it: arrays, and what JSON holds (numbers, texts, lists, tables).

        The server keeps it with the model of the round. Where it is not complete, a resumed job has other bits.
        """
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Be as after the round that `state` is of; called once, before any round, of a job that is resumed."""


def shares_of_cases(contributions: Sequence[Contribution], power: float = 1.0) -> dict[str, float]:
    """Each site's share of the round's training cases, counted to a power."""
    total = math.fsum(each.cases**power for each in contributions)
    return {each.site: each.cases**power / total for each in contributions}


def weighted_rows(
    contributions: Sequence[Contribution], weights: Mapping[str, float], power: float = 1.0
) -> list[dict[str, Any]]:
    """Rows of a rule that gives every site a weight, by its name."""
    priors = shares_of_cases(contributions, power)
    return [
        {
            "site": each.site,
            "prior": priors[each.site],
            "weight": weights[each.site],
            "clip_scale": each.clip_scale,
        }
        for each in contributions
    ]


def unweighted_rows(contributions: Sequence[Contribution]) -> list[dict[str, Any]]:
    """Rows of a rule that gives no site a weight."""
    priors = shares_of_cases(contributions)
    return [{"site": site, "prior": prior, "weight": None} for site, prior in priors.items()]


def combine_safely(method: Aggregator, contributions: Sequence[Contribution], round_number: int) -> Combined:
    """What a method makes of a round. Raises: UpdateError where it fails, or its update is not one of this model."""
    name = type(method).__name__
    try:
        combined = method.combine(contributions, round_number)
        _require_combined(combined)
        require_same_form(combined.update, contributions[0].update)
        broken = [name for name, value in combined.update.items() if not np.isfinite(value).all()]
    except UpdateError as error:
        raise UpdateError(f"the method {name} failed in round {round_number}: {error}") from error
    except Exception as error:  # somebody's own code: what it raises is told with its name
        raise UpdateError(f"the method {name} failed in round {round_number}: {error!r:.300}") from error
    if broken:
        raise UpdateError(f"the update of the method {name} in round {round_number} holds NaN or infinity: {broken[0]}")
    return combined


def _require_combined(found: Any) -> None:
    """Raises: UpdateError for what `combine` returned, where it is no Combined of arrays and rows of sites."""
    wanted = "expected Combined(update, rows) of fedbrats.federation.aggregator"
    if not isinstance(found, Combined):
        raise UpdateError(f"combine returned {_kind(found)}, {wanted}")
    if not isinstance(found.update, Mapping):
        raise UpdateError(f"the update that combine returned is {_kind(found.update)}, expected arrays by name")
    if wrong := [name for name, value in found.update.items() if not isinstance(value, np.ndarray | np.generic)]:
        said = f"{wrong[0]!r:.60} is {_kind(found.update[wrong[0]])}"
        raise UpdateError(f"in the update that combine returned, {said}, expected a numpy array")
    if not isinstance(found.rows, list) or not all(isinstance(row, dict) and "site" in row for row in found.rows):
        raise UpdateError("the rows that combine returned are no list of tables with `site`; see weighted_rows")


def _kind(value: Any) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"
