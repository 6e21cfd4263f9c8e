"""What hypothesis draws for the federation's tests: updates, and rounds of whole federations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fedbrats.federation import updates as algebra
from fedbrats.federation.factor.contribution import (
    FactorSettings,
    Memory,
    SiteTrace,
    weigh,
)
from fedbrats.federation.gates import Contribution

SHAPES = {"body.weight": (4, 5), "body.bias": (3,), "head.weight": (2, 1, 3)}
SETTINGS = FactorSettings()
NUMBERS = st.floats(-100.0, 100.0, width=32)

Update = dict[str, np.ndarray]
Round = list[Contribution]


@st.composite
def updates(draw: st.DrawFn, dtype: type = np.float64) -> Update:
    """An update of the form SHAPES with numbers of moderate size."""
    sizes = {name: int(np.prod(shape)) for name, shape in SHAPES.items()}
    numbers = {name: draw(st.lists(NUMBERS, min_size=size, max_size=size)) for name, size in sizes.items()}
    return {name: np.array(numbers[name], dtype).reshape(shape) for name, shape in SHAPES.items()}


def random_update(rng: np.random.Generator) -> Update:
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}


def add(a: Update, b: Update) -> Update:
    return {name: a[name] + b[name] for name in a}


def cosine(a: Update, b: Update) -> float:
    """The cosine between two updates, as its definition says it."""
    return algebra.dot(a, b) / (algebra.norm(a) * algebra.norm(b))


@st.composite
def federations(draw: st.DrawFn, min_sites: int = 1, max_sites: int = 6, max_rounds: int = 6) -> list[Round]:
    """Rounds of sites that share a direction to a drawn degree; some sites are noise, some flip their signs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sites = draw(st.integers(min_sites, max_sites))
    common = draw(st.sampled_from([0.0, 0.3, 1.0, 3.0]))
    roles = draw(st.lists(st.sampled_from(["honest", "honest", "noise", "flip"]), min_size=sites, max_size=sites))
    cases = draw(st.lists(st.integers(1, 50), min_size=sites, max_size=sites))
    measured = draw(st.booleans())
    rounds = []
    for round_number in range(draw(st.integers(1, max_rounds))):
        direction = {name: common * part for name, part in random_update(rng).items()}
        answers = [_answer(rng, direction, role) for role in roles]
        gains = [float(rng.normal(0.05, 0.1)) if measured else None for _ in roles]
        rounds.append(
            [
                Contribution(f"site-{i}", round_number, cases[i], 1, update, gain)
                for i, (update, gain) in enumerate(zip(answers, gains, strict=True))
            ]
        )
    return rounds


def _answer(rng: np.random.Generator, direction: Update, role: str) -> Update:
    pull = {"honest": 1.0, "noise": 0.0, "flip": -1.0}[role]
    return {name: (pull * direction[name] + part).astype(np.float32) for name, part in random_update(rng).items()}


@dataclass(frozen=True)
class Played:
    """What came of a federation: weights and traces by round, and the last memory."""

    weights: list[dict[str, float]]
    traces: list[list[SiteTrace]]
    memory: Memory


def play(rounds: list[Round], memory: Memory | None = None, settings: FactorSettings = SETTINGS) -> Played:
    """Weigh round after round."""
    memory = memory or Memory()
    weights, traces = [], []
    for answers in rounds:
        weighed, traced, memory = weigh(answers, memory, answers[0].round_number, settings)
        weights.append(weighed)
        traces.append(traced)
    return Played(weights, traces, memory)


def of_site(played: Played, site: str) -> list[SiteTrace]:
    """The traces of one site, in the order of the rounds in which it answered."""
    return [trace for traces in played.traces for trace in traces if trace.site == site]


def change(rounds: list[Round], site: str, **changes: Callable[[Any], Any]) -> list[Round]:
    """The same rounds, but for fields of one site's contributions: each becomes its function of the old value."""

    def changed(each: Contribution) -> Contribution:
        return replace(each, **{field: new(getattr(each, field)) for field, new in changes.items()})

    return [[changed(each) if each.site == site else each for each in answers] for answers in rounds]
