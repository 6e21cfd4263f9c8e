"""Models load as `train` and FLARE's persistor saved them; what does not fit is refused in a sentence."""

import json
import pickle

import numpy as np
import pytest
import torch
from nvflare.app_opt.pt.model_persistence_format_manager import PTModelPersistenceFormatManager

from fedbrats.errors import DataError, UpdateError
from fedbrats.model.network import SegmentationNetwork
from fedbrats.model.saved import load_model
from fedbrats.site.personal import save_personal

VARIABLES = {"network": "tiny", "seed": 3, "spacing_mm": 2.0, "normalisation": "zscore", "volume_shape": None}


@pytest.fixture
def results(tmp_path):
    """A results folder with a model as FLARE's own persistor writes it."""
    network = SegmentationNetwork("tiny", seed=5)
    stored = PTModelPersistenceFormatManager(network.state_dict()).to_persistence_dict()
    torch.save(stored, tmp_path / "global_model.pt")
    (tmp_path / "summary.json").write_text(json.dumps({"variables": VARIABLES}))
    return tmp_path


def test_a_model_of_train_says_all_of_itself(trained_results):
    model = load_model(trained_results)
    assert model.path == trained_results / "model.pt"
    assert model.preparation.spacing_mm == 8.0
    assert len(model.sha256) == 64
    assert not model.network.training


def test_a_model_of_a_job_takes_its_settings_from_the_summary(results):
    model = load_model(results / "global_model.pt")
    assert (model.preparation.spacing_mm, model.window, model.is_personal) == (2.0, None, False)
    expected = SegmentationNetwork("tiny", seed=5).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.network.state_dict().items())
    assert load_model(results).sha256 == model.sha256


@pytest.mark.parametrize(("shape", "expected"), [(None, 2.0), ([64, 64, 64], None)])
def test_a_model_trained_at_the_scans_own_size_knows_what_that_was(results, shape, expected):
    """Else a scan of another voxel size would be segmented at the wrong scale, without a word."""
    variables = {**VARIABLES, "spacing_mm": None, "volume_shape": shape}
    (results / "summary.json").write_text(json.dumps({"variables": variables, "spacing_mm": 2.0}))
    assert load_model(results).preparation.spacing_mm == expected


def test_personal_weights_lie_over_the_model(results):
    network = SegmentationNetwork("tiny")
    names = network.personal_names("head")
    save_personal(results, {name: np.full(network.state_dict()[name].shape, 7, np.float32) for name in names})
    model = load_model(results, results / "personal.npz")
    assert model.is_personal
    assert model.sha256 != load_model(results).sha256
    for name, value in model.network.state_dict().items():
        assert bool((value == 7).all()) == (name in names)


def say(results, **variables):
    (results / "summary.json").write_text(json.dumps({"variables": {**VARIABLES, **variables}}))


@pytest.mark.parametrize("kind", ["head", "norm", "all"])
def test_what_the_sites_never_shared_is_untrained_until_their_weights_lie_over_it(results, kind):
    say(results, personal=kind)
    names = SegmentationNetwork("tiny").personal_names(kind)
    model = load_model(results)
    assert (model.personal, model.untrained, model.has_personal_part) == (kind, names, True)
    weights = SegmentationNetwork("tiny", seed=1).state_dict()
    save_personal(results, {name: weights[name].numpy() for name in names[1:]})
    assert load_model(results, results / "personal.npz").untrained == names[:1]
    save_personal(results, {name: weights[name].numpy() for name in names})
    assert load_model(results, results / "personal.npz").untrained == ()


def test_after_rounds_at_home_the_common_model_is_a_trained_one_but_not_the_sites(results):
    say(results, personal="none", personal_rounds=3)
    model = load_model(results)
    assert (model.personal_rounds, model.untrained, model.has_personal_part) == (3, (), True)


def test_a_model_that_says_nothing_of_it_is_shared_whole(results, trained_results):
    for model in (load_model(results), load_model(trained_results)):
        assert (model.personal, model.untrained, model.has_personal_part) == ("none", (), False)


def test_the_settings_it_was_trained_with_come_with_it(results, trained_results):
    say(results, learning_rate=0.5, inference_window=[16, 16, 16], component_share=0.1, final_flips=True, num_rounds=7)
    model = load_model(results)
    assert (model.window, model.component_share, model.final_flips) == ((16, 16, 16), 0.1, True)
    named = {"learning_rate": 0.5, "inference_window": [16, 16, 16], "component_share": 0.1, "final_flips": True}
    assert model.settings == named
    assert load_model(trained_results).settings["learning_rate"] == 0.02


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"personal": 5}, "personal is 5, expected a text"),
        ({"personal": "net.nothing."}, "matches no parameter"),
        ({"personal_rounds": True}, "personal_rounds is true, expected a whole number"),
        ({"final_flips": "yes"}, 'final_flips is "yes", expected true or false'),
    ],
)
def test_a_summary_that_says_what_cannot_be_is_refused(results, variables, said):
    say(results, **variables)
    with pytest.raises(DataError, match=said):
        load_model(results)


def test_personal_weights_of_another_network_are_refused(results):
    save_personal(results, {"net.other.weight": np.zeros(3, np.float32)})
    with pytest.raises(UpdateError, match=r"net\.other\.weight"):
        load_model(results, results / "personal.npz")
    name = SegmentationNetwork("tiny").personal_names("head")[0]
    save_personal(results, {name: np.zeros(3, np.float32)})
    with pytest.raises(UpdateError, match="do not fit"):
        load_model(results, results / "personal.npz")


def test_weights_that_are_not_finite_are_refused(results):
    weights = SegmentationNetwork("tiny").state_dict()
    next(iter(weights.values())).fill_(float("nan"))
    torch.save({"model": weights}, results / "global_model.pt")
    with pytest.raises(UpdateError, match="NaN"):
        load_model(results)


class Malicious:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return print, ("code ran",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no model", "cannot be read"),
        (b"", "cannot be read"),
        (pickle.dumps(Malicious()), "cannot be read"),
        ({"weights": 1}, "no weights"),
        ([1, 2], "no weights"),
    ],
)
def test_a_file_that_is_no_model_is_refused_and_never_runs(results, capsys, content, said):
    path = results / "global_model.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(DataError, match=said):
        load_model(path)
    assert "code ran" not in capsys.readouterr().out


def test_a_model_away_from_its_results_asks_for_them(results):
    (results / "summary.json").unlink()
    with pytest.raises(DataError, match=r"no summary\.json beside it"):
        load_model(results)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(DataError, match="results folder"):
        load_model(tmp_path)
    with pytest.raises(DataError, match="is not there"):
        load_model(tmp_path / "nothing.pt")


def test_a_tensor_that_is_large_by_its_strides_alone_is_refused_before_it_is_converted(results):
    """Some kilobytes on the disk; as float32 it would take 160 GB."""
    path = results / "global_model.pt"
    document = torch.load(path, weights_only=True)
    name = next(iter(document["model"]))
    document["model"][name] = torch.zeros(1, dtype=torch.float16).expand(200_000, 200_000)
    torch.save(document, path)
    with pytest.raises(UpdateError, match=f"{name} has 40000000000 numbers"):
        load_model(path)
