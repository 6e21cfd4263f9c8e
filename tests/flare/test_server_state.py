"""The server's state: everything of one round in one file, or the round before."""

import numpy as np
import pytest

from fedbrats.errors import ConfigurationError, DataError
from fedbrats.flare.server_state import Model, ServerState, check_job_ids, load_state, save_state

JOB = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"


def state(number: int) -> ServerState:
    rng = np.random.default_rng(number)
    weights = {"conv.weight": rng.normal(size=(2, 3)).astype(np.float32), "steps": np.array(number)}
    return ServerState(
        round_number=number,
        models={"global": Model(weights, {"meta": {}}), "best": Model(weights, {"score": 0.1 + number})},
        optimiser={"0/momentum_buffer": rng.normal(size=3).astype(np.float32)},
        memory={"memory": "{}"},
        seconds={"site-1": [1.25]},
        declared={"site-1": 4},
        rows='{"kind": "job"}\n',
    )


def test_a_state_comes_back_with_the_same_bits(tmp_path):
    save_state(tmp_path, state(3))
    found, broken = load_state(tmp_path)
    assert broken == []
    assert (found.round_number, found.memory, found.seconds, found.declared) == (
        3,
        {"memory": "{}"},
        {"site-1": [1.25]},
        {"site-1": 4},
    )
    assert found.read_rows() == [{"kind": "job"}]
    assert found.models["best"].about == {"score": 3.1}
    for kind in ("global", "best"):
        for name, value in state(3).models[kind].weights.items():
            assert found.models[kind].weights[name].dtype == value.dtype
            assert np.array_equal(found.models[kind].weights[name], value)
    assert np.array_equal(found.optimiser["0/momentum_buffer"], state(3).optimiser["0/momentum_buffer"])


def test_two_rounds_are_kept(tmp_path):
    for number in range(5):
        save_state(tmp_path, state(number))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["round-000003.npz", "round-000004.npz"]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_state_that_cannot_be_read_is_named_and_the_round_before_is_taken(tmp_path, damage):
    save_state(tmp_path, state(3))
    path = save_state(tmp_path, state(4))
    content = bytearray(path.read_bytes())
    numbers = state(4).models["global"].weights["conv.weight"].tobytes()
    content[content.index(numbers) + 3] ^= 0xFF
    path.write_bytes({"truncated": content[:100], "flipped": content, "empty": b""}[damage])
    found, broken = load_state(tmp_path)
    assert found.round_number == 3
    assert len(broken) == 1
    assert str(path) in broken[0]
    (tmp_path / "round-000003.npz").write_bytes(b"")
    with pytest.raises(DataError, match="restore the folder"):
        load_state(tmp_path)


def test_no_state_is_none(tmp_path):
    assert load_state(tmp_path / "nowhere") == (None, [])


@pytest.mark.parametrize("ids", [["../../etc"], ["job"], "job", [JOB, 3], {"a": 1}, [JOB.upper()]])
def test_a_job_can_only_name_jobs(ids):
    with pytest.raises(ConfigurationError, match="list of job ids"):
        check_job_ids(ids)


def test_job_ids_are_taken_newest_first():
    assert check_job_ids([JOB]) == (JOB,)
    assert check_job_ids(None) == ()
