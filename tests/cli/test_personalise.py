"""A hospital that joins later trains its head alone."""

import json

import numpy as np
import pytest
import torch

from fedbrats.cli.main import main
from fedbrats.model.network import SegmentationNetwork
from fedbrats.model.training.trainer import Trainer

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


@pytest.fixture
def make_job(tmp_path):
    """A function that writes the results of a job with a network that learned nothing."""

    def make(**variables):
        (tmp_path / "job").mkdir()
        torch.save({"model": SegmentationNetwork("tiny").state_dict()}, tmp_path / "job" / "global_model.pt")
        known = {"network": "tiny", "seed": 0, "spacing_mm": 8.0, "normalisation": "zscore", "volume_shape": None}
        (tmp_path / "job" / "summary.json").write_text(json.dumps({"variables": {**known, **variables}}))
        return tmp_path / "job"

    return make


def test_it_trains_as_the_models_job_did_unless_told(make_job, phantom_sites, tmp_path, monkeypatch):
    seen = []

    class Recorded(Trainer):
        def __init__(self, network, settings, *rest, **named):
            seen.append(settings)
            super().__init__(network, settings, *rest, **named)

    monkeypatch.setattr("fedbrats.model.training.trainer.Trainer", Recorded)
    patch, window = [16, 24, 16], [24, 24, 24]
    job = make_job(patch_size=patch, inference_window=window, learning_rate=0.005, local_steps=7, num_rounds=9)
    words = ["--rounds", "1", "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), "--set=local_steps=2"]
    assert main(["personalise", str(job), str(phantom_sites / "site-2"), *words]) == 0
    [training] = seen
    assert (training.patch_size, training.inference_window) == (tuple(patch), tuple(window))
    assert (training.learning_rate, training.local_steps) == (0.005, 2)
    assert training.component_share == 0.0  # of a job from before there was such a setting


def test_what_would_stay_untrained_is_refused(make_job, phantom_sites, tmp_path, capsys):
    words = [str(make_job(personal="decoder")), str(phantom_sites / "site-2"), "--out", str(tmp_path / "out")]
    assert main(["personalise", *words]) == 1
    assert "give --personal decoder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
