"""A file with a damaged byte is either read as it was or refused in a sentence; no other error comes out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from fedbrats.array_files import read_arrays, read_checkpoint, read_safetensors, write_arrays
from fedbrats.errors import DamagedFileError, DataError
from fedbrats.flare.server.state.stored import Model, ServerState, load_state, save_state
from fedbrats.site.personal import load_personal, save_personal

ARRAYS = {"conv/weight": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.array(7)}
MASKS = (0x01, 0x08, 0x40, 0xFF)


def flips(path: Path, masks=(0xFF,)):
    """Flip bits of the file in place, one byte after the other, and yield where; the byte is put right afterwards."""
    content = path.read_bytes()
    with path.open("r+b", buffering=0) as stream:
        for place, byte in enumerate(content):
            for mask in masks:
                stream.seek(place)
                stream.write(bytes([byte ^ mask]))
                yield place, mask
            stream.seek(place)
            stream.write(bytes([byte]))


def read_or_told(read, path: Path):
    """What `read` gives, or the sentence of the error that names the file."""
    try:
        return read()
    except DataError as error:
        told = str(error)
    assert str(path) in told
    return told


def same(found, expected) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == value.dtype and np.array_equal(found[name], value) for name, value in expected.items()
    )


def test_arrays_come_back_with_the_same_bits(tmp_path):
    write_arrays(tmp_path / "file.npz", ARRAYS)
    assert same(read_arrays(tmp_path / "file.npz"), ARRAYS)
    with np.load(tmp_path / "file.npz", allow_pickle=False) as stored:
        assert same(dict(stored), ARRAYS)
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "other.npz")


@pytest.mark.filterwarnings("ignore")
def test_every_flipped_bit_is_harmless_or_told(tmp_path):
    path = tmp_path / "file.npz"
    write_arrays(path, ARRAYS)
    found = {where: read_or_told(lambda: read_arrays(path), path) for where in flips(path, MASKS)}
    assert [where for where, each in found.items() if not (isinstance(each, str) or same(each, ARRAYS))] == []
    assert len([each for each in found.values() if isinstance(each, str)]) > len(found) / 2


@pytest.mark.parametrize("length", range(0, 550, 37))
def test_a_file_that_was_cut_short_is_told(tmp_path, length):
    path = tmp_path / "file.npz"
    write_arrays(path, ARRAYS)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DamagedFileError):
        read_arrays(path)


def test_a_header_that_says_less_than_what_is_stored_is_told(tmp_path):
    """`np.load` gives the shorter array and says nothing."""
    path = tmp_path / "file.npz"
    write_arrays(path, {"array": np.arange(60000.0)})
    path.write_bytes(path.read_bytes().replace(b"(60000,)", b"(50000,)"))
    with np.load(path) as stored:
        assert stored["array"].shape == (50000,)
    with pytest.raises(DamagedFileError, match="more than its header says"):
        read_arrays(path)


def test_an_array_of_objects_is_never_unpickled(tmp_path):
    np.savez(tmp_path / "file.npz", objects=np.array([{}], dtype=object))
    with pytest.raises(DamagedFileError, match="allow_pickle"):
        read_arrays(tmp_path / "file.npz")


@pytest.mark.filterwarnings("ignore")
def test_a_server_falls_back_one_round_for_every_flipped_byte(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"kind": "job"}\n')
    for number in (3, 4):
        path = save_state(tmp_path / "job", ServerState(number, {"global": Model(ARRAYS)}), rows)
    for where in flips(path):
        found, broken = load_state(path.parent)
        assert (found.round_number, len(broken)) in ((4, 0), (3, 1)), where
        assert same(found.models["global"].weights, ARRAYS), where


@pytest.mark.filterwarnings("ignore")
def test_a_site_tells_of_personal_weights_for_every_flipped_byte(tmp_path):
    save_personal(tmp_path, ARRAYS)
    path = tmp_path / "personal.npz"
    for where in flips(path):
        found = read_or_told(lambda: load_personal(tmp_path), path)
        assert "restore the file" in found if isinstance(found, str) else same(found, ARRAYS), where


@pytest.mark.filterwarnings("ignore")
def test_checkpoints_and_safetensors_give_the_same_error(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"model": {"weight": torch.arange(6.0)}}, path)
    for _ in flips(path):
        assert "weights_only" not in str(read_or_told(lambda: read_checkpoint(path), path))
    path = tmp_path / "model.safetensors"
    save_file(ARRAYS, path, metadata={"personal": "none"})
    found, about = read_safetensors(path)
    assert same(found, ARRAYS)
    assert about == {"personal": "none"}
    for _ in flips(path):
        read_or_told(lambda: read_safetensors(path), path)
