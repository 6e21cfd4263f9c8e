"""Models inside a job: named, alike, readable by their job only through safetensors."""

import json
import shutil

import numpy as np
import pytest
import torch

from fedbrats.errors import ConfigurationError, DataError
from fedbrats.jobs.models import model_names, pack_models, read_job_model
from fedbrats.model.saved import load_model

VARIABLES = {"network": "tiny", "seed": 0, "spacing_mm": 8.0, "normalisation": "zscore", "volume_shape": None}


@pytest.fixture
def results(trained_results, tmp_path):
    """Make results folders: one as `fedbrats train` wrote it, with a changed summary."""

    def make(name, **summary):
        folder = shutil.copytree(trained_results, tmp_path / name)
        document = json.loads((folder / "summary.json").read_text())
        (folder / "summary.json").write_text(json.dumps({**document, **summary}))
        return folder

    return make


def federated(folder):
    """The model of the folder as a job leaves it: it says nothing of itself, the summary does."""
    document = torch.load(folder / "model.pt", weights_only=True)
    torch.save({"model": document["model"]}, folder / "global_model.pt")
    return folder


def test_a_packed_model_is_the_model_and_knows_whose_personal_part_it_lacks(results, tmp_path):
    folder = federated(results("a", job="fedper", job_id="job-7", variables={**VARIABLES, "personal": "head"}))
    settings = pack_models([folder], tmp_path / "models")
    assert settings["models"] == model_names(tmp_path / "models") == ["fedper"]
    assert (settings["network"], settings["spacing_mm"]) == ("tiny", 8.0)
    model = read_job_model(tmp_path / "models", "fedper")
    assert (model.personal, model.job_id) == ("head", "job-7")
    for name, value in load_model(folder).network.state_dict().items():
        np.testing.assert_array_equal(model.weights[name], value.numpy())


def test_after_rounds_at_home_the_whole_model_is_personal(results, tmp_path):
    variables = {**VARIABLES, "personal": "none", "personal_rounds": 3}
    folder = federated(results("a", job="fine_tuned", job_id="job-7", variables=variables))
    pack_models([folder], tmp_path / "models")
    assert read_job_model(tmp_path / "models", "fine_tuned").personal == "all"


def test_models_of_one_job_are_named_by_their_folders(results, tmp_path):
    settings = pack_models([results("one"), results("two words")], tmp_path / "models")
    assert settings["models"] == ["one", "two-words"]


def test_models_that_one_job_cannot_evaluate_are_refused(results, tmp_path):
    other = results("other")
    document = torch.load(other / "model.pt", weights_only=True)
    torch.save({**document, "preparation": {**document["preparation"], "spacing_mm": 4.0}}, other / "model.pt")
    with pytest.raises(ConfigurationError, match="differ in their preparation"):
        pack_models([results("one"), other], tmp_path / "models")


def test_a_model_is_evaluated_with_mirror_images_only_where_its_training_was(results, tmp_path):
    plain = results("plain")
    document = torch.load(plain / "model.pt", weights_only=True)
    torch.save({**document, "settings": {**document["settings"], "final_flips": False}}, plain / "model.pt")
    assert pack_models([plain], tmp_path / "models")["final_flips"] is False
    assert pack_models([results("one")], tmp_path / "others")["final_flips"] is True
    with pytest.raises(ConfigurationError, match="differ in their final_flips"):
        pack_models([results("two"), plain], tmp_path / "mixed")


def test_a_name_that_is_not_there_and_a_damaged_file_are_said(results, tmp_path):
    pack_models([results("one", job="fedavg")], tmp_path / "models")
    with pytest.raises(DataError, match=r"holds no model '\.\./secret'; it holds fedavg"):
        read_job_model(tmp_path / "models", "../secret")
    path = tmp_path / "models" / "fedavg.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="fedavg of the job is damaged"):
        read_job_model(tmp_path / "models", "fedavg")
