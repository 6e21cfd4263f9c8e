"""What Dice differential privacy has left in our experiments: curves that a plan may be read from, and their range.

`curves.json` is made from experiments/results by `python experiments/private_curves.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

SLACK = 1.25


@dataclass(frozen=True)
class Point:
    """One federation.

    Attributes:
        epsilon: infinite for training without noise.
        gain: of its mean Dice over that of its start.
    """

    patients: int
    epsilon: float
    gain: float


@dataclass(frozen=True)
class Curve:
    """Federations that differ in epsilon or in the number of patients alone.

    Attributes:
        data: which patients, in words.
        sites: how many.
        matches: the variables of a job that they had.
    """

    data: str
    sites: int
    matches: Mapping[str, Any]
    points: tuple[Point, ...]

    def gain(self, patients: float, epsilon: float) -> float | None:
        """The gain at so many patients of all sites, between measured points; None outside of them.

        Between two epsilons and two numbers of patients it is a line over their logarithms. A quarter fewer or more
        patients than in any of the federations is as good as there.
        """
        known = sorted({point.patients for point in self.points})
        if not known[0] / SLACK <= patients <= known[-1] * SLACK:
            return None
        patients = min(max(patients, known[0]), known[-1])
        low = max(each for each in known if each <= patients)
        high = min(each for each in known if each >= patients)
        ends = [self._gain_of(each, epsilon) for each in (low, high)]
        if ends[0] is None or ends[1] is None:
            return None
        share = 0.0 if low == high else math.log(patients / low) / math.log(high / low)
        return (1 - share) * ends[0] + share * ends[1]

    def _gain_of(self, patients: int, epsilon: float) -> float | None:
        points = {point.epsilon: point.gain for point in self.points if point.patients == patients}
        below = [each for each in points if each <= epsilon]
        above = [each for each in points if each >= epsilon]
        if not below or not above:
            return None
        low, high = max(below), min(above)
        if low == high:
            return points[low]
        if math.isinf(high):  # what no noise gives is not reached at any epsilon
            return points[low]
        share = math.log(epsilon / low) / math.log(high / low)
        return (1 - share) * points[low] + share * points[high]


def read_curves() -> tuple[Curve, ...]:
    """The curves that this package has."""
    document = json.loads(files("fedbrats.privacy").joinpath("curves.json").read_text(encoding="utf-8"))
    return tuple(
        Curve(
            each["data"],
            each["sites"],
            each["matches"],
            tuple(Point(p["patients"], p["epsilon"] or math.inf, p["gain"]) for p in each["points"]),
        )
        for each in document["curves"]  # an object: FLARE reads every JSON file of a job as one
    )


def expect_gain(variables: Mapping[str, Any], patients: int, epsilon: float) -> dict[str, Any] | None:
    """The gain in Dice that a curve of ours lets expect of a job; None where no curve is about such a job.

    Args:
        variables: of the job.
        patients: of the smallest site; a curve is read at the patients that its sites had in the mean.

    Returns:
        data and sites of the curve, its gain, and its gain without_noise at as many patients.
    """
    for curve in read_curves():
        if any(variables.get(name) != value for name, value in curve.matches.items()):
            continue
        gain, free = (curve.gain(patients * curve.sites, each) for each in (epsilon, math.inf))
        if gain is not None and free is not None:
            return {"data": curve.data, "sites": curve.sites, "gain": gain, "without_noise": free}
    return None
