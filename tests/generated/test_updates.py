"""Answers of sites that are anything: refused with a row, or counted and finite; the server never stumbles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nvflare.apis.dxo import DXO, DataKind, from_shareable
from nvflare.apis.shareable import Shareable
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType

from fedbrats.federation.sharing import split_names
from fedbrats.flare.protocol import REPORT_KEY
from fedbrats.flare.server.recorder import Recorder
from fedbrats.flare.site.filters import KeepShared
from fedbrats.methods.fedavg import WeightedFedAvg
from fedbrats.site_report import SiteReport
from tests.flare.conftest import Federation, gated
from tests.generated.asking import GENERATED, attempt, within
from tests.generated.test_documents import ANYTHING

VALUES = st.one_of(
    ANYTHING,
    st.sampled_from(
        [
            np.array([1.0, np.nan]),
            np.array(["a"]),
            np.array([None], dtype=object),
            np.zeros((0,)),
            np.full(8, 1e308),
            np.array([1 + 2j]),
            np.datetime64("2020-01-01"),
            np.float32("inf"),
        ]
    ),
)
REPORTS = st.fixed_dictionaries({}, optional=dict.fromkeys(SiteReport.model_fields, VALUES))


@pytest.fixture(scope="module")
def federation(tmp_path_factory) -> Federation:
    return Federation(tmp_path_factory.mktemp("server"), gated(WeightedFedAvg), Recorder())


@GENERATED
@given(data=st.data())
def test_any_answer_is_refused_or_counted(federation, data):
    update: dict = federation.random_update(1)
    for _ in range(data.draw(st.integers(0, 2))):
        name = data.draw(st.sampled_from(sorted(update, key=str)) | st.text(max_size=3) | st.integers(0, 3))
        if data.draw(st.booleans()):
            update[name] = data.draw(VALUES)
        else:
            update.pop(name, None)
    report = {"training_cases": 3, "steps": 2, "validation_cases": 1, **data.draw(REPORTS)}
    kind = data.draw(st.sampled_from([DataKind.WEIGHT_DIFF] * 6 + [DataKind.WEIGHTS, DataKind.METRICS]))
    meta = {REPORT_KEY: data.draw(st.just(report) | VALUES)}
    answer = DXO(kind, data=update, meta=meta).to_shareable()
    answer.add_cookie(AppConstants.CONTRIBUTION_ROUND, data.draw(st.sampled_from([0, 0, 0, 1, None, "0"])))
    refused_before = len(federation.rows("refusal"))
    with within():
        accepted, result = federation.round(0, {"site-1": answer})
        record(federation, "site-1", answer, accepted["site-1"])
    if accepted["site-1"]:
        assert all(np.isfinite(value).all() for value in result.data.values())
        assert set(result.data) == set(federation.weights)
    else:
        assert result.data == {}
        [row] = federation.rows("refusal")[refused_before:]
        assert row["site"] == "site-1"
    last = federation.rows("site")[-1]
    assert last["accepted"] == accepted["site-1"]


def record(federation: Federation, site: str, answer: Shareable, accepted: bool) -> None:
    """What FLARE tells the recorder after each answer."""
    from nvflare.apis.fl_constant import ReservedKey
    from nvflare.apis.fl_context import FLContext

    with federation.room.new_context() as fl_ctx:
        peer = FLContext()
        peer.set_prop(ReservedKey.IDENTITY_NAME, site, private=False, sticky=False)
        fl_ctx.set_peer_context(peer)
        fl_ctx.set_prop(AppConstants.CURRENT_ROUND, 0, private=True, sticky=True)
        fl_ctx.set_prop(AppConstants.AGGREGATION_ACCEPTED, accepted, private=True, sticky=False)
        fl_ctx.set_prop(AppConstants.TRAINING_RESULT, answer, private=True, sticky=False)
        federation.room.fire_event(AppEventType.AFTER_CONTRIBUTION_ACCEPT, fl_ctx)


@GENERATED
@given(data=st.data())
def test_the_sites_filter_sends_the_shared_names_or_nothing(federation, data):
    update: dict = {**federation.random_update(2)}
    name = data.draw(st.sampled_from(sorted(update)) | st.text(max_size=3))
    if data.draw(st.booleans()):
        update.pop(name, None)
    else:
        update[name] = data.draw(VALUES)
    keep = KeepShared(network="tiny", personal="head")
    shared, _ = split_names(federation.weights, federation.network.personal_names("head"))
    sent, refused = attempt(keep.process, DXO(DataKind.WEIGHT_DIFF, data=update).to_shareable(), None)
    if sent is None:
        assert "nothing is sent" in refused
    else:
        assert set(from_shareable(sent).data) == set(shared)
