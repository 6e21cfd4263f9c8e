"""What a plan reads from our experiments: between their points, and nothing outside."""

import json
import math
from pathlib import Path

import pytest

from fedbrats.privacy import curves
from fedbrats.privacy.curves import Curve, Point, read_curves

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
CURVE = Curve("", 5, {}, tuple(
    Point(patients, epsilon, gain)
    for patients, gains in ((25, (0.0, 0.1, 0.2)), (100, (0.2, 0.3, 0.4)))
    for epsilon, gain in zip((8.0, 32.0, math.inf), gains, strict=True)
))  # fmt: skip


@pytest.mark.parametrize(
    ("patients", "epsilon", "gain"),
    [
        (25, 8.0, 0.0),
        (25, 16.0, 0.05),
        (50, 8.0, 0.1),
        (50, 16.0, 0.15),
        (100, math.inf, 0.4),
        (100, 500.0, 0.3),
        (120, 8.0, 0.2),
    ],
)
def test_between_points_a_line_over_logarithms(patients, epsilon, gain):
    assert CURVE.gain(patients, epsilon) == pytest.approx(gain)


@pytest.mark.parametrize(("patients", "epsilon"), [(19, 8.0), (126, 8.0), (25, 7.9)])
def test_outside_there_is_no_curve(patients, epsilon):
    assert CURVE.gain(patients, epsilon) is None


def test_the_curves_are_those_of_the_committed_experiments(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import private_curves

    written = json.loads((Path(curves.__file__).parent / "curves.json").read_text(encoding="utf-8"))
    assert written == {"curves": list(private_curves.curves())}
    assert all(point.epsilon > 0 for curve in read_curves() for point in curve.points)
