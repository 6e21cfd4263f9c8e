"""What a site says of a round besides its update and its report: numbers and arrays that a method declares.

A method declares each entry once, by name. The site refuses to say, and the server to hear, what is not as declared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fedbrats.errors import UpdateError
from fedbrats.outside import show

MOST_ENTRIES, MOST_NUMBERS = 16, 4096  # of an answer; of an array that is not of the model's form
Cases = Literal["training", "validation"]


@dataclass(frozen=True)
class SaidNumber:
    """A finite number.

    Attributes:
        meaning: one sentence.
        least, most: its bounds, included.
        of: the cases that it tells of; a site with too few of them does not say it.
    """

    meaning: str
    least: float
    most: float
    of: Cases = "training"

    def check(self, value: Any, update: Mapping[str, np.ndarray]) -> str | None:
        """What is wrong with a value, as a clause; None where nothing is."""
        if not is_finite_number(value):
            return f"is {show(value, 40)}, expected a finite number"
        if not self.least <= value <= self.most:
            return f"is {float(value):g}, expected {self.least:g} to {self.most:g}"
        return None


@dataclass(frozen=True)
class SaidArray:
    """An array of finite floating numbers, or one for each name of the update and of its shape.

    Attributes:
        meaning: one sentence.
        length: how many numbers, in one dimension; None for a mapping of the update's own form, which leaves a site by
            the same rules as the update: personal names are taken out of it.
        most: the largest absolute value.
        of: the cases that it tells of; a site with too few of them does not say it.
    """

    meaning: str
    length: int | None
    most: float
    of: Cases = "training"

    def check(self, value: Any, update: Mapping[str, np.ndarray]) -> str | None:
        """What is wrong with a value, as a clause; None where nothing is."""
        if self.length is None:
            if not isinstance(value, Mapping) or value.keys() != update.keys():
                return "is not a mapping of the update's names to arrays"
            wrong = (self._fault(each, np.shape(update[name])) for name, each in value.items())
            return next((fault for fault in wrong if fault), None)
        return self._fault(value, (self.length,))

    def _fault(self, array: Any, shape: tuple[int, ...]) -> str | None:
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f" or array.shape != shape:
            found = getattr(array, "shape", type(array).__name__)
            return f"is of shape {found!s:.40}, expected floating numbers of shape {shape}"
        if not np.isfinite(array).all():
            return "holds NaN or infinity"
        if array.size and float(np.abs(array).max()) > self.most:
            return f"holds {float(np.abs(array).max()):g}, expected at most {self.most:g}"
        return None


Said = SaidNumber | SaidArray


def is_finite_number(value: Any) -> bool:
    """Whether it is a real number that fits a float; a whole number of 400 digits does not."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def numbers_of(said: Mapping[str, Any], declared: Mapping[str, Said]) -> dict[str, float]:
    """The numbers of what is said, in the order in which they are declared; arrays are left out.

    Args:
        said: what `check_said` has found to be as declared.
    """
    return {name: float(said[name]) for name, each in declared.items() if isinstance(each, SaidNumber)}


def check_said(
    said: Mapping[str, Any], declared: Mapping[str, Said], update: Mapping[str, np.ndarray], who: str, where: str
) -> None:
    """Compare what is said with what is declared.

    Args:
        where: the declaration, for the sentence of the error.

    Raises: UpdateError that names `who` and the first entry that is missing, not declared, or not as declared.
    """
    for name in sorted(declared.keys() | said.keys()):
        if name not in declared:
            raise UpdateError(f"{who} says {name!r:.60}, which {where} does not declare")
        if name not in said:
            raise UpdateError(f"{who} does not say {name}, which {where} declares")
        if fault := declared[name].check(said[name], update):
            raise UpdateError(f"what {who} says as {name} {fault}")
