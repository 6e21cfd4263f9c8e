"""The executor of the job `evaluate`, on models of other jobs, in one process."""

import json

import numpy as np
import pytest
from nvflare.apis.dxo import DXO, DataKind, from_shareable
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.signal import Signal
from nvflare.app_common.app_constant import AppConstants
from safetensors.numpy import save_file

from fedbrats.flare.job_folder import models_folder
from fedbrats.flare.protocol import MODEL_NAME
from fedbrats.flare.site.cross_site import CrossSiteExecutor
from fedbrats.model.network import SegmentationNetwork
from fedbrats.rows import CASES_FILE, ROWS_FOLDER
from fedbrats.site.personal import save_personal
from tests.flare.conftest import JOB_ID, Room

NETWORK = SegmentationNetwork("tiny", seed=3)
WEIGHTS = {name: value.numpy().copy() for name, value in NETWORK.state_dict().items()}
HEAD = NETWORK.personal_names("head")


@pytest.fixture
def room(tmp_path, phantom_sites):
    """site-1 with two models in the job: one that is shared whole, and one whose head stayed at the sites."""
    room = Room(tmp_path / "kit", identity="site-1")
    facts = {"cache_dir": "cache", "personal_dir": "personal", "threads": 1, "min_cases": 1}
    facts |= {"data_dir": str(phantom_sites / "site-1")}
    (room.root / "local" / "fedbrats.json").write_text(json.dumps({**facts, "share_personal_models": True}))
    with room.new_context() as fl_ctx:
        folder = models_folder(fl_ctx)
    folder.mkdir(parents=True)
    save_file(WEIGHTS, folder / "shared.safetensors", {"personal": "none", "job_id": "job-0"})
    save_file(WEIGHTS, folder / "headed.safetensors", {"personal": "head", "job_id": "job-0"})
    room.components["executor"] = CrossSiteExecutor(
        "tiny", training={"final_flips": False}, preparation={"spacing_mm": 8.0}
    )
    return room


def ask(room, task, model="", weights=None):
    shareable = DXO(DataKind.WEIGHTS, data=weights or {}, meta={MODEL_NAME: model}).to_shareable()
    shareable.set_header(AppConstants.MODEL_OWNER, f"SRV_{model}")
    with room.new_context() as fl_ctx:
        return room.components["executor"].execute(task, shareable, fl_ctx, Signal())


def weights_now(room):
    return room.components["executor"]._site.trainer.get_weights()


def test_a_shared_model_is_evaluated_as_it_is(room):
    data = from_shareable(ask(room, "validate", "shared")).data
    assert (data["validation_cases"], data["own_personal"]) == (1, False)
    assert all(np.array_equal(value, WEIGHTS[name]) for name, value in weights_now(room).items())
    (row,) = [json.loads(line) for line in (room.root / JOB_ID / ROWS_FOLDER / CASES_FILE).read_text().splitlines()]
    assert row["stage"] == "SRV_shared"


def test_a_model_with_a_personal_part_takes_this_sites_or_the_one_that_is_sent(room):
    assert ask(room, "validate", "headed").get_return_code() == ReturnCode.EXECUTION_EXCEPTION  # none is kept here
    mine = {name: WEIGHTS[name] + 1 for name in HEAD}
    save_personal(room.root / "personal" / "job-0" / "site-1", mine)
    assert from_shareable(ask(room, "validate", "headed")).data["own_personal"]
    assert all(np.array_equal(weights_now(room)[name], {**WEIGHTS, **mine}[name]) for name in WEIGHTS)
    theirs = {name: WEIGHTS[name] - 1 for name in HEAD}
    assert not from_shareable(ask(room, "validate", "headed", theirs)).data["own_personal"]
    assert all(np.array_equal(weights_now(room)[name], {**WEIGHTS, **theirs}[name]) for name in WEIGHTS)


@pytest.mark.parametrize("shares", [True, False])
def test_only_personal_parts_are_submitted_and_only_where_the_hospital_shares_them(room, shares):
    path = room.root / "local" / "fedbrats.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "share_personal_models": shares}))
    mine = {name: WEIGHTS[name] + 1 for name in HEAD}
    save_personal(room.root / "personal" / "job-0" / "site-1", mine)
    dxo = from_shareable(ask(room, "submit_model"))
    assert dxo.data_kind == DataKind.COLLECTION
    assert {name: set(part.data) for name, part in dxo.data.items()} == ({"headed": set(HEAD)} if shares else {})
