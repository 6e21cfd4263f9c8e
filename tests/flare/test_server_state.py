"""The server's state: everything of one round in one file, or the round before."""

import numpy as np
import pytest

from fedbrats.errors import DataError
from fedbrats.flare.server.state.stored import (
    Model,
    ServerState,
    load_state,
    save_state,
)

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
    )


@pytest.fixture
def rows(tmp_path):
    """The recorder's file."""
    path = tmp_path / "recorder.jsonl"
    path.write_text('{"kind": "job"}\n')
    return path


def test_a_state_comes_back_with_the_same_bits(tmp_path, rows):
    save_state(tmp_path / "job", state(3), rows)
    found, broken = load_state(tmp_path / "job")
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


def test_two_rounds_are_kept_and_a_round_adds_only_its_own_rows(tmp_path, rows):
    folder = tmp_path / "job"
    for number in range(5):
        with rows.open("a") as stream:
            stream.write(f'{{"kind": "round", "round": {number}}}\n{{"kind": "half a li')
        path = save_state(folder, state(number), rows)
        rows.write_text(rows.read_text().removesuffix('{"kind": "half a li'))
        assert (folder / "kept_rows.jsonl").read_text() == rows.read_text()
    assert sorted(each.name for each in folder.iterdir()) == ["kept_rows.jsonl", "round-000003.npz", "round-000004.npz"]
    path.unlink()  # rows of a round that was not finished do not belong to the round before
    assert [row.get("round") for row in load_state(folder)[0].read_rows()] == [None, 0, 1, 2, 3]


def test_rows_that_a_full_disk_cut_short_are_taken_up_where_they_end(tmp_path, rows):
    folder = tmp_path / "job"
    save_state(folder, state(0), rows)
    rows.write_text(rows.read_text() + '{"kind": "round", "round": 0}\n')
    with (folder / "kept_rows.jsonl").open("a") as copy:
        copy.write('{"kind": "ro')
    save_state(folder, state(1), rows)
    assert load_state(folder)[0].rows == rows.read_text()


def test_a_state_whose_rows_are_lost_is_named(tmp_path, rows):
    save_state(tmp_path / "job", state(0), rows)
    (tmp_path / "job" / "kept_rows.jsonl").write_text("")
    with pytest.raises(DataError, match=r"kept_rows.jsonl beside it has 0 of 16 bytes"):
        load_state(tmp_path / "job")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_state_that_cannot_be_read_is_named_and_the_round_before_is_taken(tmp_path, rows, damage):
    save_state(tmp_path, state(3), rows)
    path = save_state(tmp_path, state(4), rows)
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
