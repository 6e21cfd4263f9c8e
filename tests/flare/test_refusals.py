"""Every reason to refuse an update has a row with the site, the round and a sentence, and a test that sees it."""

import json

import numpy as np
import pytest
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.shareable import Shareable

from fedbrats.federation import gates
from fedbrats.flare.protocol import REPORT_KEY
from fedbrats.methods.fedavg import WeightedFedAvg
from tests.flare.conftest import gated

REGISTER = {"honest": 10, "bad": 10}
ROUND = 3


def spoil(update, change):
    """The update with its first array changed."""
    name = min(update)
    return {**update, name: change(update[name])}


def _with(value):
    def change(array):
        array = array.copy()
        array.flat[0] = value
        return array

    return change


def _plain(data, meta):
    return DXO(DataKind.WEIGHT_DIFF, data=data, meta=meta).to_shareable()


# name: (the reason of the row, what the site named `bad` sends, made from the federation and an update)
SENT = {
    "no DXO": ("unreadable", lambda f, u: Shareable()),
    "weights": ("unreadable", lambda f, u: DXO(DataKind.WEIGHTS, data=u).to_shareable()),
    "no report": ("unreadable", lambda f, u: _plain(u, {})),
    "no number of cases": ("unreadable", lambda f, u: _plain(u, {REPORT_KEY: {"steps": 1}})),
    "names that are no texts": ("unreadable", lambda f, u: f.answer("bad", ROUND, {1: np.ones(3), "a": np.ones(3)})),
    "another round": ("round", lambda f, u: f.answer("bad", ROUND - 1, u)),
    "no round": ("round", lambda f, u: f.answer("bad", None, u)),
    "a name too few": ("names", lambda f, u: f.answer("bad", ROUND, {n: u[n] for n in sorted(u)[1:]})),
    "a name too many": ("names", lambda f, u: f.answer("bad", ROUND, {**u, "stranger": np.ones(3, np.float32)})),
    "whole numbers": ("dtype", lambda f, u: f.answer("bad", ROUND, spoil(u, lambda a: a.astype(np.int32)))),
    "objects": ("dtype", lambda f, u: f.answer("bad", ROUND, spoil(u, lambda a: a.astype(object)))),
    "no array": ("dtype", lambda f, u: f.answer("bad", ROUND, spoil(u, lambda a: [0.0]))),
    "another shape": ("shape", lambda f, u: f.answer("bad", ROUND, spoil(u, lambda a: a[..., None]))),
    "NaN": ("not_finite", lambda f, u: f.answer("bad", ROUND, spoil(u, _with(np.nan)))),
    "infinity": ("not_finite", lambda f, u: f.answer("bad", ROUND, spoil(u, _with(-np.inf)))),
    "a length beyond all numbers": (
        "not_finite",
        lambda f, u: f.answer("bad", ROUND, spoil(u, lambda a: np.full(a.shape, 1e200))),
    ),
    "zeros": ("zero", lambda f, u: f.answer("bad", ROUND, {n: np.zeros_like(a) for n, a in u.items()})),
    "no case": ("cases", lambda f, u: f.answer("bad", ROUND, u, cases=0)),
    "negative cases": ("cases", lambda f, u: f.answer("bad", ROUND, u, cases=-5)),
    "half a case": ("cases", lambda f, u: f.answer("bad", ROUND, u, cases=2.5)),
    "a text of cases": ("cases", lambda f, u: f.answer("bad", ROUND, u, cases="many")),
    "more cases than anybody has": ("cases", lambda f, u: f.answer("bad", ROUND, u, cases=10**400)),
    "a number of cases that cannot be printed": ("cases", lambda f, u: f.answer("bad", ROUND, u, cases=10**5000)),
    "a long text of cases": ("cases", lambda f, u: f.answer("bad", ROUND, u, cases="9" * 10**6)),
    "a long name": ("names", lambda f, u: f.answer("bad", ROUND, {**u, "0" * 10**6: np.ones(3, np.float32)})),
    "a long round": ("round", lambda f, u: f.answer("bad", "3" * 10**6, u)),
    "too many cases": ("too_many_cases", lambda f, u: f.answer("bad", ROUND, u, cases=11)),
}
BY_OTHER_TESTS = {"duplicate", "unregistered", "said"}


@pytest.fixture
def federation(new_federation, tmp_path):
    """A server whose register knows two sites."""
    (tmp_path / "server" / "local").mkdir(parents=True)
    (tmp_path / "server" / "local" / "fedbrats.json").write_text(json.dumps({"registered_cases": REGISTER}))
    return new_federation(gated(WeightedFedAvg))


@pytest.mark.parametrize("what", SENT)
def test_a_refused_update_is_a_row_and_changes_nothing(federation, what):
    reason, make = SENT[what]
    update = federation.random_update(1)
    answers = {
        "bad": make(federation, federation.random_update(2)),
        "honest": federation.answer("honest", ROUND, update),
    }
    accepted, result = federation.round(ROUND, answers)
    assert accepted == {"bad": False, "honest": True}
    (row,) = federation.rows("refusal")
    assert (row["site"], row["round"], row["reason"]) == ("bad", ROUND, reason)
    assert row["message"].startswith("The update of bad in round 3 is not counted: ")
    assert len(row["message"]) < 400
    for name, value in update.items():
        np.testing.assert_allclose(result.data[name], value, rtol=1e-6)


def test_a_site_that_nobody_registered_is_refused(federation):
    federation.round(ROUND, {"stranger": federation.answer("stranger", ROUND, federation.random_update(1))})
    (row,) = federation.rows("refusal")
    assert (row["site"], row["reason"]) == ("stranger", "unregistered")


def test_a_site_that_answers_twice_is_counted_once(federation):
    first, second = federation.random_update(1), federation.random_update(2)
    result = federation.accept_twice(ROUND, "honest", first, second)
    (row,) = federation.rows("refusal")
    assert (row["site"], row["reason"]) == ("honest", "duplicate")
    for name, value in first.items():
        np.testing.assert_allclose(result.data[name], value, rtol=1e-6)


def test_no_reason_is_without_its_test():
    assert {reason for reason, _ in SENT.values()} | BY_OTHER_TESTS == set(gates.REASONS)
