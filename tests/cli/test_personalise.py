"""A hospital that joins later trains its head alone."""

import json

import numpy as np
import pytest
import torch

from fedbrats.cli.main import main
from fedbrats.model.network import SegmentationNetwork

TINY = ("--set", "network=tiny", "--set", "patch_size=[24, 24, 24]")


@pytest.fixture(scope="module")
def model(phantom_sites, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    words = [
        str(phantom_sites / "site-1"),
        "--rounds",
        "1",
        "--out",
        str(folder / "run"),
        "--cache",
        str(folder / "cache"),
    ]
    assert main(["train", *words, *TINY]) == 0
    return folder / "run"


def test_only_the_personal_part_is_trained_and_written(model, phantom_sites, tmp_path, capsys):
    capsys.readouterr()
    words = [str(model), str(phantom_sites / "site-2"), "--rounds", "2", "--out", str(tmp_path / "out")]
    assert main(["personalise", *words, "--cache", str(tmp_path / "cache"), *TINY, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    head = SegmentationNetwork("tiny").personal_names("head")
    shared = torch.load(model / "model.pt", weights_only=True)["model"]
    with np.load(document["weights"]) as personal:
        assert set(personal.files) == set(head)
        assert any(not np.array_equal(personal[name], shared[name].numpy()) for name in head)
    assert document["before"]["dice"].keys() == {"mean", "WT", "TC", "ET"}


def test_nothing_personal_is_a_clear_error(model, phantom_sites, tmp_path, capsys):
    words = [str(model), str(phantom_sites / "site-2"), "--personal", "none", "--out", str(tmp_path / "out")]
    assert main(["personalise", *words, "--cache", str(tmp_path / "cache"), *TINY]) == 1
    assert "nothing to train" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
