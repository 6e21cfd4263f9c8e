"""The filters around a site: what one side packs the other unpacks, and nothing else passes."""

import numpy as np
import pytest
from nvflare.apis.dxo import DXO, DataKind, from_shareable
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import make_reply

from fedbrats.errors import UpdateError
from fedbrats.flare.packing import Compress, Decompress
from fedbrats.flare.protocol import TRAVELLED
from fedbrats.model.network import SegmentationNetwork


def weights():
    return {name: value.numpy().copy() for name, value in SegmentationNetwork("tiny").state_dict().items()}


def message(kind=DataKind.WEIGHT_DIFF, data=None):
    return DXO(kind, data=weights() if data is None else data, meta={"fedbrats": {"steps": 1}}).to_shareable()


@pytest.mark.parametrize(("kind", "share"), [("float16", 0.51), ("int8", 0.26)])
@pytest.mark.parametrize("what", [DataKind.WEIGHTS, DataKind.WEIGHT_DIFF])
def test_a_message_comes_back_nearly_the_same_and_smaller(what, kind, share):
    sent = Compress(kind).process(message(what), None)
    arrived = from_shareable(Decompress("tiny", kind).process(sent, None))
    assert arrived.data_kind == what
    assert set(arrived.meta) == {"fedbrats", TRAVELLED}
    full = sum(value.nbytes for value in weights().values())
    assert arrived.meta[TRAVELLED] < share * full
    for name, value in weights().items():
        np.testing.assert_allclose(arrived.data[name], value, atol=np.abs(value).max() / 200)


def test_none_leaves_everything_as_it_is():
    one = message()
    assert Decompress("tiny").process(Compress().process(one, None), None) is one


@pytest.mark.parametrize(
    "passing",
    [
        make_reply(ReturnCode.EXECUTION_EXCEPTION),
        message(DataKind.METRICS, {"validation_cases": 3}),
        message(data={}),
    ],
)
def test_failures_metrics_and_rounds_that_share_nothing_pass(passing):
    assert Decompress("tiny", "int8").process(Compress("int8").process(passing, None), None) is passing


def test_what_is_not_packed_or_is_not_of_the_network_is_refused():
    with pytest.raises(UpdateError, match="not compressed as int8"):
        Decompress("tiny", "int8").process(message(), None)
    with pytest.raises(UpdateError, match="not compressed as int8"):
        Decompress("tiny", "int8").process(Compress("float16").process(message(), None), None)
    stranger = Compress("int8").process(message(data={"stranger": np.zeros(4, np.float32)}), None)
    with pytest.raises(UpdateError, match="stranger"):
        Decompress("tiny", "int8").process(stranger, None)
    packed = Compress("int8").process(message(), None)
    dxo = from_shareable(packed)
    dxo.data["codes"] = "codes"
    with pytest.raises(UpdateError, match="no codes"):
        Decompress("tiny", "int8").process(dxo.to_shareable(), None)
