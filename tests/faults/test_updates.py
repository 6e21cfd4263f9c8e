"""Trouble-makers among honest sites, through a real aggregator: refused, clipped, or heard less, and always said."""

import json

import numpy as np
import pytest

from fedbrats.methods.contribution import ContributionFactor
from fedbrats.misbehaviour.kinds import ABSURD_CASES
from fedbrats.misbehaviour.updates import ABSURD_COUNT, corrupt_update
from tests.faults.catalogue import SURVIVED, fault
from tests.flare.conftest import (
    gated,
    new_federation,  # noqa: F401  a server in one process
)

SITES = ("a", "b", "c", "d", "bad")
ROUNDS = 12


def _trouble(kind, injected, detected, outcome):
    declared = fault(f"update: {kind}", injected=injected, detected=detected, outcome=f"{SURVIVED}: {outcome}")
    return pytest.param(kind, marks=declared)


REFUSED = [
    _trouble("NaN", "one value of an update is NaN", "gate, `refusal` row `not_finite`", "counted without the site"),
    _trouble("zero", "an update of zeros", "gate, `refusal` row `zero`", "counted without the site"),
    _trouble(
        "absurd number of cases",
        "a site says it trained on 10^9 cases",
        "gate, `refusal` row `too_many_cases`",
        "counted without the site",
    ),
]
KIND = {"NaN": "nan", "zero": "zero", "absurd number of cases": ABSURD_CASES}
REASON = {"NaN": "not_finite", "zero": "zero", "absurd number of cases": "too_many_cases"}
HEARD_LESS = [
    _trouble("noise", "noise as long as the update", "`weight` row", "the site's weight falls below half its share"),
    _trouble(
        "sign-flip", "the update with its sign turned", "`weight` row", "the site's weight falls below half its share"
    ),
    _trouble("scaled", "a hundred times the update", "`weight` row `clipped`", "clipped to twice the median length"),
    _trouble("copy", "a site sends another site's update", "`weight` row", "the two share one site's say"),
]


@pytest.fixture
def federation(new_federation, tmp_path):  # noqa: F811
    """A server whose register knows five sites of ten cases."""
    (tmp_path / "server" / "local").mkdir(parents=True)
    (tmp_path / "server" / "local" / "fedbrats.json").write_text(
        json.dumps({"registered_cases": dict.fromkeys(SITES, 10)})
    )
    return new_federation(gated(ContributionFactor))


def honest(federation, round_number, site):
    """What an honest site would send: a common way, and the site's own."""
    way = federation.random_update(1000 + round_number)
    own = federation.random_update(100 * round_number + SITES.index(site))
    return {name: way[name] + np.float32(0.5) * own[name] for name in way}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_counted_is_refused(federation, kind):
    updates = {site: honest(federation, 0, site) for site in SITES}
    updates["bad"] = corrupt_update(updates["bad"], KIND[kind], 0)
    cases = {"bad": ABSURD_COUNT} if KIND[kind] == ABSURD_CASES else {}
    accepted, result = federation.round(
        0, {site: federation.answer(site, 0, updates[site], cases=cases.get(site, 10)) for site in SITES}
    )
    assert accepted == {site: site != "bad" for site in SITES}
    (row,) = federation.rows("refusal")
    assert (row["site"], row["reason"]) == ("bad", REASON[kind])
    assert all(np.isfinite(value).all() for value in result.data.values())


@pytest.mark.parametrize("kind", HEARD_LESS)
def test_what_can_be_counted_is_heard_for_what_it_is_worth(federation, kind):
    for number in range(ROUNDS):
        updates = {site: honest(federation, number, site) for site in SITES}
        updates["bad"] = updates["a"] if kind == "copy" else corrupt_update(updates["bad"], kind, number)
        answers = {site: federation.answer(site, number, updates[site], gain=0.01) for site in SITES}
        federation.round(number, answers)
    last = {row["site"]: row for row in federation.rows("weight") if row["round"] == ROUNDS - 1}
    if kind == "scaled":
        assert [site for site in SITES if last[site]["clipped"]] == ["bad"]
    elif kind == "copy":
        assert last["bad"]["weight"] + last["a"]["weight"] < 1.5 * last["b"]["weight"]
    else:
        assert last["bad"]["weight"] < 0.1
