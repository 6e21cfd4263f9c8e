"""A site's report: one schema, and a reader that nothing a site sends can stop."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fedbrats.federation.gates import MOST_CASES
from fedbrats.rows import REGIONS_AND_MEAN
from fedbrats.site_report import LONGEST_TEXT, EvaluationReport, SiteReport
from tests.generated.test_documents import ANYTHING

METRICS = {metric: dict.fromkeys(REGIONS_AND_MEAN, 0.5) for metric in ("dice", "iou")}
GOOD = {
    "training_cases": 4,
    "validation_cases": 2,
    "seconds": {"training": 1.5},
    "received": METRICS,
    "trained": METRICS,
    "begins": "kept",
    "fitted": False,
}


def test_what_is_sent_is_what_is_read():
    report = SiteReport(**GOOD)
    assert SiteReport.read(report.model_dump()) == report


@pytest.mark.parametrize(
    ("name", "said"),
    [
        *((name, said) for name in ("training_cases", "steps") for said in (-1, 2.0, True, "3", MOST_CASES + 1, None)),
        *(("loss", said) for said in (math.nan, math.inf, 10**400, "0", True, np.array([1.0]))),
        *(("version", said) for said in ("x" * (LONGEST_TEXT + 1), "a\nb", b"a", 3)),
        *(("seconds", said) for said in ([1], {"training": "long"}, {"training": math.nan}, 3)),
        *(("begins", said) for said in ("elsewhere", 1, np.array(["kept", "kept"]))),
        *(("fitted", said) for said in (1, "yes", None)),
        *(("received", said) for said in ({}, {"dice": METRICS["dice"]}, {**METRICS, "iou": {"WT": 0.5}}, 0.5)),
        ("trained", {**METRICS, "dice": {**METRICS["dice"], "mean": 1.01}}),
    ],
)
def test_an_entry_that_cannot_be_is_left_out_and_the_others_stay(name, said):
    found = SiteReport.read({**GOOD, name: said})
    assert getattr(found, name) is None
    kept = found.model_dump(exclude={name})
    assert {other: kept[other] for other in GOOD if other != name} == {
        other: value for other, value in GOOD.items() if other != name
    }


def test_what_nobody_knows_is_left_out():
    many = {"patient": "Ada", "seconds": {"training": 1.0, "x" * 1000: 2.0}, **dict.fromkeys(map(str, range(1000)), 1)}
    assert SiteReport.read(many).model_dump(exclude_none=True) == {"seconds": {"training": 1.0}}


def test_numbers_of_numpy_are_numbers():
    found = SiteReport.read({"training_cases": np.int64(10), "loss": np.float32(0.5), "spacing_mm": 2})
    assert found.model_dump(exclude_none=True) == {"training_cases": 10, "loss": 0.5, "spacing_mm": 2.0}
    assert type(found.training_cases) is int


@pytest.mark.parametrize("cases", [0, None, "many"])
def test_metrics_without_a_case_behind_them_are_none(cases):
    found = SiteReport.read({**GOOD, "validation_cases": cases})
    assert (found.received, found.trained, found.received_dice, found.usefulness) == (None, None, None, None)


def test_the_gain_of_a_round_and_the_common_models_dice():
    report = SiteReport(**GOOD)
    assert (report.received_dice, report.usefulness) == (0.5, 0.0)
    assert report.completed(fitted=True).received_dice is None


def test_a_sender_cannot_misspell():
    with pytest.raises(ValidationError):
        SiteReport(**GOOD).completed(minus_scores=0.1)


def test_every_entry_says_what_it_means():
    for model in (SiteReport, EvaluationReport):
        assert all(entry.description for entry in model.model_fields.values())


@given(ANYTHING | st.fixed_dictionaries({}, optional=dict.fromkeys(SiteReport.model_fields, ANYTHING)))
def test_no_report_raises(said):
    SiteReport.read(said)
    EvaluationReport.read(said)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ({"validation_cases": 3, "metrics": METRICS}, True),
        ({"validation_cases": 3, "metrics": None, "own_personal": True}, True),
        ({"validation_cases": 0, "metrics": METRICS}, False),
        ({"validation_cases": 3}, False),
        ({"validation_cases": 3, "metrics": {"dice": 1}}, False),
        ({"metrics": METRICS}, False),
        (None, False),
    ],
)
def test_an_evaluation_is_read_whole_or_not_at_all(said, read):
    assert (EvaluationReport.read(said) is not None) == read
