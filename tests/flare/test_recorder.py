"""The last row of a run says how it ended."""

import pytest
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import ReservedKey
from nvflare.apis.signal import Signal

from fedbrats.flare.aggregators import WeightedFedAvg


@pytest.mark.parametrize(("triggered", "status"), [(False, "ended"), (True, "aborted")])
def test_a_run_is_aborted_only_when_its_signal_was_triggered(new_federation, triggered, status):
    federation = new_federation(WeightedFedAvg())
    signal = Signal()
    if triggered:
        signal.trigger(True)
    with federation.room.new_context() as fl_ctx:
        fl_ctx.set_prop(ReservedKey.RUN_ABORT_SIGNAL, signal, private=True, sticky=False)
        federation.room.fire_event(EventType.END_RUN, fl_ctx)
    (row,) = federation.rows("end")
    assert row["status"] == status
