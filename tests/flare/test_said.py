"""What a method has a site say, at the site's gate: known forms only, no personal name, nothing of too few cases."""

import numpy as np
import pytest
from nvflare.apis.controller_spec import Task
from nvflare.apis.dxo import DXO, DataKind, from_shareable

from fedbrats.errors import UpdateError
from fedbrats.flare.protocol import SAID_KEY, TOLD_KEY
from fedbrats.flare.said import judge_said, keep_said, read_said
from fedbrats.flare.server.quorum.tasks import add_told

UPDATE = {"body.w": np.ones(3, np.float32), "body.b": np.ones(1, np.float32)}
MANY = {"training": 20, "validation": 20}


def answer(said) -> DXO:
    """An answer from which the gate has taken a personal head already."""
    return DXO(DataKind.WEIGHT_DIFF, data=dict(UPDATE), meta={SAID_KEY: said})


def test_personal_names_leave_what_is_said_with_the_update():
    dxo = answer({"training": {"control": {**UPDATE, "head.w": np.ones(2, np.float32)}, "loss": 1.0}})
    judge_said(dxo, MANY, 5)
    assert set(read_said(dxo)["control"]) == set(UPDATE)
    keep_said(dxo, ["body.w"])
    assert set(read_said(dxo)["control"]) == {"body.w"}
    assert read_said(dxo)["loss"] == 1.0


def test_what_tells_of_too_few_cases_is_not_said():
    said = {"training": {"loss": 1.0}, "validation": {"gain": 1.0}}
    dxo = answer(said)
    judge_said(dxo, {"training": 20, "validation": 4}, 5)
    assert read_said(dxo) == {"loss": 1.0}
    dxo = answer({"validation": {"gain": 1.0}})
    judge_said(dxo, {"training": 20}, 5)
    assert dxo.get_meta_prop(SAID_KEY) is None


@pytest.mark.parametrize(
    "said",
    [
        [],
        {"other": {}},
        {"training": [1.0]},
        {"training": {"a b": 1.0}},
        {"training": {"x" * 41: 1.0}},
        {"training": {f"a{number}": 1.0 for number in range(17)}},
        {"training": {"note": "patient 017"}},
        {"training": {"flag": True}},
        {"training": {"number": float("inf")}},
        {"training": {"number": 10**5000}},
        {"training": {"number": np.complex64(1)}},
        {"training": {"scan": np.ones((4, 4), np.float32)}},
        {"training": {"scan": np.ones(4097, np.float32)}},
        {"training": {"labels": np.ones(4, np.uint8)}},
        {"training": {"control": {"body.w": np.ones(4, np.float32)}}},
        {"training": {"control": {"body.w": "text"}}},
    ],
)
def test_nothing_else_leaves_a_site(said):
    with pytest.raises(UpdateError, match="nothing is sent"):
        judge_said(answer(said), MANY, 1)


def test_a_server_reads_whatever_it_gets():
    for said in (None, 7, [], {"training": 7}, {"training": {1: 2.0}}):
        assert read_said(answer(said)) == {}


def test_what_sites_are_told_does_not_become_a_part_of_the_model():
    about = {"round": 3}
    task = Task("train", data=DXO(DataKind.WEIGHTS, data=dict(UPDATE), meta=about).to_shareable())
    add_told(task, {"control": UPDATE})
    assert from_shareable(task.data).meta == {"round": 3, TOLD_KEY: {"control": UPDATE}}
    assert about == {"round": 3}
