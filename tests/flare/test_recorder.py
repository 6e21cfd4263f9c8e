"""Rows that the recorder writes by itself: how a run ended, and what a round moved."""

import json
from typing import ClassVar

import numpy as np
import pytest
from nvflare.apis.dxo import from_shareable
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.model import make_model_learnable
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.app_event_type import AppEventType
from nvflare.widgets.info_collector import GroupInfoCollector, InfoCollector

from fedbrats.federation.said import SaidArray, SaidNumber
from fedbrats.flare.protocol import SAID_KEY, STANDING
from fedbrats.flare.server.gated_aggregator import TOTAL_ROUNDS
from fedbrats.methods.fedavg import WeightedFedAvg
from tests.flare.conftest import gated


def test_a_round_says_what_it_moved(new_federation):
    """The model as sent down, and what came back: a site that keeps a part sends less."""
    federation = new_federation(gated(WeightedFedAvg, personal="head"))
    update = federation.random_update(0)
    personal = federation.network.personal_names("head")
    shared = {name: value for name, value in update.items() if name not in personal}
    with federation.room.new_context() as fl_ctx:
        model = make_model_learnable(federation.weights, {})
        fl_ctx.set_prop(AppConstants.GLOBAL_MODEL, model, private=True, sticky=True)
        federation.room.fire_event(AppEventType.ROUND_STARTED, fl_ctx)
        for site, answer in (("a", federation.answer("a", 0, shared)), ("b", Shareable({"no": "DXO"}))):
            peer = FLContext()
            peer.set_prop(ReservedKey.IDENTITY_NAME, site, private=False, sticky=False)
            fl_ctx.set_peer_context(peer)
            fl_ctx.set_prop(AppConstants.TRAINING_RESULT, answer, private=True, sticky=False)
            federation.room.fire_event(AppEventType.AFTER_CONTRIBUTION_ACCEPT, fl_ctx)
    rows = {row["site"]: row["bytes"] for row in federation.rows("site")}
    whole = sum(value.nbytes for value in federation.weights.values())
    assert rows["a"] == {"down": whole, "up": sum(value.nbytes for value in shared.values())}
    assert rows["b"] == {"down": whole, "up": 0}
    assert rows["a"]["up"] < whole


@pytest.mark.parametrize("accepted", [True, False])
def test_the_metrics_of_a_refused_answer_are_not_recorded(new_federation, accepted):
    federation = new_federation(gated(WeightedFedAvg))
    with federation.room.new_context() as fl_ctx:
        peer = FLContext()
        peer.set_prop(ReservedKey.IDENTITY_NAME, "a", private=False, sticky=False)
        fl_ctx.set_peer_context(peer)
        answer = federation.answer("a", 0, federation.random_update(0))
        fl_ctx.set_prop(AppConstants.TRAINING_RESULT, answer, private=True, sticky=False)
        fl_ctx.set_prop(AppConstants.AGGREGATION_ACCEPTED, accepted, private=True, sticky=False)
        federation.room.fire_event(AppEventType.AFTER_CONTRIBUTION_ACCEPT, fl_ctx)
    (row,) = federation.rows("site")
    assert (row["site"], row["accepted"], row["training_cases"]) == ("a", accepted, 10)
    assert {each["stage"] for each in federation.rows("metrics")} == ({"received", "trained"} if accepted else set())


class Listening(WeightedFedAvg):
    """Hears a number and an array."""

    hears: ClassVar = {"drift": SaidNumber("a drift", 0, 10), "curve": SaidArray("a curve", length=2, most=1)}


@pytest.mark.parametrize(("drift", "recorded"), [(0.25, {"drift": 0.25}), (11.0, None)])
def test_the_numbers_that_a_method_hears_stand_in_the_row_of_an_accepted_answer(new_federation, drift, recorded):
    """No array, nothing that is not declared, and nothing of an answer that is refused, say because of its bounds."""
    federation = new_federation(gated(Listening))
    answer = federation.answer("a", 0, federation.random_update(0))
    said = {"training": {"drift": drift, "curve": np.ones(2, np.float32)}}
    dxo = from_shareable(answer)
    dxo.set_meta_prop(SAID_KEY, said)
    with federation.room.new_context() as fl_ctx:
        peer = FLContext()
        peer.set_prop(ReservedKey.IDENTITY_NAME, "a", private=False, sticky=False)
        fl_ctx.set_peer_context(peer)
        model = make_model_learnable(federation.weights, {})
        fl_ctx.set_prop(AppConstants.GLOBAL_MODEL, model, private=True, sticky=True)
        fl_ctx.set_prop(AppConstants.CURRENT_ROUND, 0, private=True, sticky=True)
        answer = dxo.update_shareable(answer)
        fl_ctx.set_prop(AppConstants.TRAINING_RESULT, answer, private=True, sticky=False)
        accepted = federation.aggregator.accept(answer, fl_ctx)
        fl_ctx.set_prop(AppConstants.AGGREGATION_ACCEPTED, accepted, private=True, sticky=False)
        federation.room.fire_event(AppEventType.AFTER_CONTRIBUTION_ACCEPT, fl_ctx)
    (row,) = federation.rows("site")
    assert (row["accepted"], row.get("said")) == (recorded is not None, recorded)
    refusals = [] if recorded else ["said"]
    assert [row["reason"] for row in federation.rows("refusal")] == refusals


@pytest.mark.parametrize("said", [None, {"drift": "rubbish"}, {"drift": float("nan")}])
def test_in_a_personal_round_a_site_says_nothing_that_counts(new_federation, said):
    """A site with too few cases says none of it, and nobody judges what is said without an update."""
    federation = new_federation(gated(Listening, personal_rounds=1))
    federation.total_rounds = 1
    answer = federation.answer("a", 0, {})
    if said:
        dxo = from_shareable(answer)
        dxo.set_meta_prop(SAID_KEY, {"training": said})
        answer = dxo.update_shareable(answer)
    assert federation.round(0, {"a": answer})[0] == {"a": True}


@pytest.mark.parametrize(("triggered", "status"), [(False, "ended"), (True, "aborted")])
def test_a_run_is_aborted_only_when_its_signal_was_triggered(new_federation, triggered, status):
    federation = new_federation(gated(WeightedFedAvg))
    signal = Signal()
    if triggered:
        signal.trigger(True)
    with federation.room.new_context() as fl_ctx:
        fl_ctx.set_prop(ReservedKey.RUN_ABORT_SIGNAL, signal, private=True, sticky=False)
        federation.room.fire_event(EventType.END_RUN, fl_ctx)
    (row,) = federation.rows("end")
    assert row["status"] == status


def test_it_tells_where_the_job_stands(new_federation):
    """What FLARE's `show_stats` answers for a person who may see jobs."""
    federation = new_federation(gated(WeightedFedAvg))
    collector = GroupInfoCollector()
    with federation.room.new_context() as fl_ctx:
        fl_ctx.set_prop(AppConstants.CURRENT_ROUND, 0, private=True, sticky=True)
        fl_ctx.set_prop(TOTAL_ROUNDS, 7, private=True, sticky=True)
        federation.room.fire_event(AppEventType.ROUND_DONE, fl_ctx)
        fl_ctx.set_prop(InfoCollector.CTX_KEY_STATS_COLLECTOR, collector, private=True, sticky=False)
        federation.room.fire_event(InfoCollector.EVENT_TYPE_GET_STATS, fl_ctx)
    told = collector.info[STANDING]
    assert (told["rounds_done"], told["rounds"]) == (1, 7)
    assert json.dumps(told)
