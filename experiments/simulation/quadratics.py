"""Simulated hospitals whose losses are quadratic, so that the best model of the honest ones is known exactly.

Site i has the loss f_i(w) = (w - o_i)' H (w - o_i) / 2 with one diagonal curvature H for all and an optimum
o_i = o + d_i of its own. Training starts at w = 0 with |o| = 1. A local round is some steps of gradient descent with
Gaussian gradient noise, in closed form: each coordinate shrinks towards o_i and collects noise of a known deviation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LAYERS = {"body.weight": (40, 30), "body.bias": (40,), "head.weight": (19, 40)}  # 2000 numbers in three tensors
SIZE = sum(int(np.prod(shape)) for shape in LAYERS.values())


@dataclass(frozen=True)
class Setting:
    """One kind of federation. Lengths are in units of |o|, the way from the first model to the common optimum."""

    sites: int = 5
    rounds: int = 30
    heterogeneity: float = 0.3  # |d_i| of an honest hospital
    shift: float = 1.0  # |d_i| of the honest hospital with a strong domain shift
    noise: float = 0.3  # deviation (length) of a local round's update because of sampling, at 20 cases
    steps: int = 10
    rate: float = 0.03  # of one step, where the curvature is 1


@dataclass(frozen=True)
class Hospital:
    """A site: its optimum (D,), the curvature (D,) and its number of cases."""

    name: str
    optimum: np.ndarray
    curvature: np.ndarray
    cases: int
    setting: Setting

    def loss(self, weights: np.ndarray) -> float:
        """f_i(w)."""
        return float(np.sum(self.curvature * (weights - self.optimum) ** 2) / 2.0)

    def dice(self, weights: np.ndarray) -> float:
        """A score in (0, 0.9] that falls with the loss as Dice does: 0.9 at the optimum, 0.12 at the first model."""
        return 0.9 * float(np.exp(-2.0 * self.loss(weights) / self.loss(np.zeros(SIZE))))

    def train(self, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The update (D,) of one local round."""
        keep = (1.0 - self.setting.rate * self.curvature) ** self.setting.steps
        deviation = self.setting.noise * np.sqrt(20.0 / self.cases / SIZE)
        return (1.0 - keep) * (self.optimum - weights) + deviation * rng.standard_normal(SIZE)


def random_length(rng: np.random.Generator, length: float) -> np.ndarray:
    """A vector (D,) of this length in a random direction."""
    direction = rng.standard_normal(SIZE)
    return length * direction / np.linalg.norm(direction)


def found(setting: Setting, rng: np.random.Generator) -> list[Hospital]:
    """Hospitals of 8 to 40 cases; the last one, on whom the trouble falls, has 20."""
    curvature = np.exp(rng.uniform(np.log(0.05), 0.0, SIZE))
    truth = random_length(rng, 1.0)
    cases = [*(int(n) for n in rng.integers(8, 41, setting.sites - 1)), 20]
    return [
        Hospital(f"site-{i + 1:02d}", truth + random_length(rng, setting.heterogeneity), curvature, n, setting)
        for i, n in enumerate(cases)
    ]


def best_model(hospitals: list[Hospital]) -> np.ndarray:
    """The minimum of the hospitals' losses weighted by cases; with one curvature for all it is the mean optimum."""
    cases = [float(hospital.cases) for hospital in hospitals]
    return np.average([hospital.optimum for hospital in hospitals], axis=0, weights=cases)


def excess(weights: np.ndarray, hospitals: list[Hospital]) -> float:
    """The share of the hospitals' avoidable loss that is left: 0 at their best model, 1 at the first model."""
    cases = np.array([float(hospital.cases) for hospital in hospitals])

    def mean_loss(model: np.ndarray) -> float:
        return float(np.average([hospital.loss(model) for hospital in hospitals], weights=cases))

    if not np.isfinite(weights).all():
        return float("inf")
    least = mean_loss(best_model(hospitals))
    return (mean_loss(weights) - least) / (mean_loss(np.zeros(SIZE)) - least)


def as_layers(vector: np.ndarray) -> dict[str, np.ndarray]:
    """A vector (D,) as the named float32 arrays that a site would send."""
    layers, start = {}, 0
    for name, shape in LAYERS.items():
        size = int(np.prod(shape))
        layers[name] = vector[start : start + size].reshape(shape).astype(np.float32)
        start += size
    return layers


def as_vector(layers: dict[str, np.ndarray]) -> np.ndarray:
    """The inverse of `as_layers`, in float64."""
    return np.concatenate([np.ravel(layers[name]).astype(np.float64) for name in LAYERS])
