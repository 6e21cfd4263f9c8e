"""Every reason to refuse an update, and the clip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedbrats.federation import updates as algebra
from fedbrats.federation.gates import (
    REASONS,
    Contribution,
    Expectation,
    check,
    clip_to_median,
)
from fedbrats.federation.said import SaidArray, SaidNumber
from tests.federation.strategies import Round, cosine, federations

MODEL = {"body.weight": np.zeros((2, 3), np.float32), "head.bias": np.zeros(2, np.float32)}
UPDATE = {"body.weight": np.ones((2, 3), np.float32), "head.bias": np.ones(2, np.float32)}
SAID = {"loss": 2.0, "sketch": np.ones(3), "control": UPDATE}
HEARS = {
    "loss": SaidNumber("a loss", 0, 10),
    "sketch": SaidArray("a sketch", length=3, most=5),
    "control": SaidArray("a control variate", length=None, most=5),
}
GOOD = Contribution("site-a", 3, 10, 40, UPDATE, 0.1)
SAYING = replace(GOOD, said=SAID)
SHAPES = {name: array.shape for name, array in MODEL.items()}
EXPECTED = Expectation(SHAPES, 3, {"site-a": 12})


def bias(*values: float, dtype: type = np.float32) -> dict:
    return {"update": {**UPDATE, "head.bias": np.array(values, dtype)}}


def test_a_good_update_passes() -> None:
    assert check(GOOD, EXPECTED, set()) is None
    assert check(GOOD, EXPECTED, {"site-b"}) is None
    assert check(SAYING, EXPECTED, set(), HEARS) is None


FAULTS = [
    ({"round_number": 2}, "round"),
    ({"round_number": 4}, "round"),
    ({"round_number": None}, "round"),
    ({"update": {}}, "names"),
    ({"update": {"body.weight": UPDATE["body.weight"]}}, "names"),
    ({"update": {**UPDATE, "head.weight": np.ones(1, np.float32)}}, "names"),
    (bias(1, 2, 3), "shape"),
    ({"update": {**UPDATE, "head.bias": np.ones((2, 1), np.float32)}}, "shape"),
    (bias(1, 2, dtype=np.int32), "dtype"),
    ({"update": {**UPDATE, "head.bias": [1.0, 2.0]}}, "dtype"),
    ({"update": {**UPDATE, "head.bias": np.array(["a", "b"])}}, "dtype"),
    ({"update": {**UPDATE, "head.bias": np.array([None, 1], object)}}, "dtype"),
    ({"update": {**UPDATE, "head.bias": None}}, "dtype"),
    (bias(1, np.nan), "not_finite"),
    (bias(1, np.inf), "not_finite"),
    (bias(-np.inf, 1), "not_finite"),
    ({"update": MODEL}, "zero"),
    ({"said": {}}, "said"),
    ({"said": {**SAID, "loss": 11.0}}, "said"),
    ({"said": {**SAID, "loss": np.nan}}, "said"),
    ({"said": {**SAID, "loss": True}}, "said"),
    ({"said": {**SAID, "loss": "1"}}, "said"),
    ({"said": {**SAID, "loss": 1j}}, "said"),
    ({"said": {**SAID, "loss": np.complex64(1)}}, "said"),
    ({"said": {**SAID, "loss": 10**400}}, "said"),
    ({"said": {**SAID, "loss": 10**5000}}, "said"),
    ({"said": {**SAID, "more": 1.0}}, "said"),
    ({"said": {**SAID, "sketch": np.ones(4, np.float32)}}, "said"),
    ({"said": {**SAID, "sketch": np.array([1, np.inf, 1])}}, "said"),
    ({"said": {**SAID, "sketch": [1.0, 2.0, 3.0]}}, "said"),
    ({"said": {**SAID, "control": {"head.bias": np.ones(2)}}}, "said"),
    ({"said": {**SAID, "control": {**UPDATE, "head.bias": np.ones(3)}}}, "said"),
    ({"said": {**SAID, "control": {**UPDATE, "head.bias": np.array([0, 6.0])}}}, "said"),
    ({"cases": 0}, "cases"),
    ({"cases": -5}, "cases"),
    ({"cases": True}, "cases"),
    ({"cases": 10.0}, "cases"),
    ({"cases": "10"}, "cases"),
    ({"cases": None}, "cases"),
    ({"cases": float("nan")}, "cases"),
    ({"cases": 13}, "too_many_cases"),
    ({"cases": 10**9}, "too_many_cases"),
    ({"site": "site-z"}, "unregistered"),
]


@pytest.mark.parametrize(("changes", "reason"), FAULTS)
def test_a_fault_is_refused_with_its_reason(changes: dict, reason: str) -> None:
    refusal = check(replace(SAYING, **changes), EXPECTED, set(), HEARS)
    assert refusal is not None
    assert (refusal.reason, refusal.round_number) == (reason, 3)
    assert refusal.site == changes.get("site", "site-a")
    assert refusal.message.startswith(f"The update of {refusal.site} in round 3 is not counted: ")


def test_a_second_answer_is_refused() -> None:
    refusal = check(GOOD, EXPECTED, {"site-a"})
    assert refusal is not None
    assert refusal.reason == "duplicate"


def test_every_reason_has_a_test() -> None:
    said_elsewhere = {"duplicate", "unreadable"}
    assert {reason for _, reason in FAULTS} | said_elsewhere == set(REASONS)


def test_a_length_beyond_float64_is_refused() -> None:
    expected = Expectation({"w": (2,)}, 0)
    refusal = check(Contribution("a", 0, 1, 1, {"w": np.array([1e200, 1e200])}), expected, set())
    assert refusal is not None
    assert refusal.reason == "not_finite"


def test_without_a_register_the_word_of_a_site_stands_and_any_float_will_do() -> None:
    expected = Expectation({"w": (1,)}, 0)
    for dtype in (np.float16, np.float32, np.float64):
        assert check(Contribution("a", 0, np.int64(10**9), 1, {"w": np.ones(1, dtype)}), expected, set()) is None


def test_a_site_that_shares_a_part_is_measured_by_that_part() -> None:
    shared = Expectation({"body.weight": SHAPES["body.weight"]}, 3)
    body = replace(GOOD, update={"body.weight": UPDATE["body.weight"]})
    assert check(body, shared, set()) is None
    refusal = check(GOOD, shared, set())
    assert refusal is not None
    assert refusal.reason == "names"


@given(federations(max_rounds=1), st.lists(st.floats(1e-3, 1e3), min_size=6, max_size=6), st.floats(0.5, 5.0))
def test_nobody_is_longer_than_the_limit_and_directions_stay(rounds: list[Round], k: list, multiple: float) -> None:
    answers = [
        replace(each, update=algebra.scale(each.update, factor)) for each, factor in zip(rounds[0], k, strict=False)
    ]
    clipped, limit, who = clip_to_median(answers, multiple)
    assert limit == pytest.approx(multiple * np.median([algebra.norm(each.update) for each in answers]))
    for before, after in zip(answers, clipped, strict=True):
        assert algebra.norm(after.update) <= limit * (1 + 1e-5)
        assert cosine(before.update, after.update) == pytest.approx(1.0)
        assert (after.site in who) == (after.clip_scale < 1.0)
        if after.site not in who:
            assert after == before


def test_one_huge_update_does_not_move_the_limit() -> None:
    answers = [replace(GOOD, site=name) for name in "abc"]
    huge = replace(GOOD, site="d", update=algebra.scale(UPDATE, 1e6))
    _, calm, _ = clip_to_median(answers)
    clipped, limit, who = clip_to_median([*answers, huge])
    assert limit == calm
    assert who == ("d",)
    assert clipped[3].clip_scale == pytest.approx(2e-6)


def test_nobody_to_clip() -> None:
    assert clip_to_median([]) == ([], 0.0, ())
