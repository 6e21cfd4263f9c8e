"""The start of a job: packed by the submitter, signed with the job, judged where it arrives."""

import hashlib
import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from fedbrats.cli.main import main
from fedbrats.errors import ConfigurationError, DataError
from fedbrats.jobs.build import build_job, read_variables
from fedbrats.jobs.plan import check_built, check_settings
from fedbrats.jobs.start import START_FILE, pack_start, read_start, unpack_start, weights_sha256, write_start
from fedbrats.model.network import SegmentationNetwork
from tests.flare.server import Server

TINY = {"preset": "tiny", "seed": 0}


def weights_of(seed, preset="tiny"):
    return {name: value.numpy() for name, value in SegmentationNetwork(preset, seed).state_dict().items()}


@pytest.fixture
def start_file(tmp_path):
    path = tmp_path / "start.safetensors"
    write_start(path, weights_of(7), "tiny", {"seed": "7"})
    return path


def test_a_start_travels_in_the_job_and_no_path_does(tmp_path, start_file):
    job = build_job("fedavg", tmp_path / "jobs", {"network": "tiny", "start": str(start_file)})
    assert read_variables(job)["start"] == "given"
    assert str(tmp_path) not in "".join(path.read_text() for path in job.rglob("*.json"))
    packed = unpack_start(job / "app" / "models", weights_of(0))
    assert all(np.allclose(packed[name], value, atol=1e-3) for name, value in weights_of(7).items())
    content = (job / "app" / "models" / START_FILE).read_bytes()
    assert read_variables(job)["start_sha256"] == hashlib.sha256(content).hexdigest()
    check_built(job)


@pytest.mark.parametrize("changes", [{"start": "none"}, {"network": "tiny"}, {"network": "large"}])
def test_a_job_without_a_start_holds_no_model(tmp_path, changes):
    job = build_job("fedavg", tmp_path / "jobs", changes)
    assert (read_variables(job)["start"], read_variables(job)["start_sha256"]) == ("none", None)
    assert not (job / "app" / "models").exists()
    check_built(job)


def test_the_rounds_begin_with_the_start(tmp_path, start_file):
    server = Server(tmp_path / "server", "job-1", rounds=1, start="given", behaviour=unmoved)
    app = server.room.get_workspace().get_app_dir("job-1")
    pack_start(read_start(str(start_file), TINY), type(tmp_path)(app))
    server.run()
    assert server.room.said == []
    assert all(np.allclose(server.weights[name], value, atol=1e-3) for name, value in weights_of(7).items())


def test_a_job_whose_start_is_gone_ends_with_a_sentence(tmp_path):
    server = Server(tmp_path, "job-1", rounds=1, start="given").run()
    assert server.room.said == ["the job says that it has a start, and holds none; build it again"]


def unmoved(server, site, round_number, weights):
    from tests.flare.server import answer

    return answer({name: np.full_like(value, 1e-7) for name, value in weights.items()}, 0.5, round_number)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"start": "nowhere.safetensors"}, "expected auto, phantoms, none or a model that is here"),
        ({"start": 3}, "start is 3"),
    ],
)
def test_a_start_that_cannot_be_is_refused_before_anything_starts(changes, said):
    with pytest.raises(ConfigurationError, match=said):
        check_settings("fedavg", changes)


def test_the_same_weights_give_the_same_file(tmp_path, start_file):
    again = tmp_path / "again.safetensors"
    write_start(again, weights_of(7), "tiny", {"seed": "7"})
    assert again.read_bytes() == start_file.read_bytes()


def test_a_start_of_another_network_names_the_weight(start_file):
    with pytest.raises(DataError, match="of another network than the job's"):
        read_start(str(start_file), {"preset": "fast", "seed": 0})


@pytest.mark.parametrize("bad", ["nan", "shape", "name", "text"])
def test_what_arrives_is_judged(tmp_path, bad):
    weights = weights_of(1)
    name = next(iter(weights))
    if bad == "nan":
        weights[name] = np.full_like(weights[name], np.nan)
    elif bad == "shape":
        weights[name] = weights[name][..., :1]
    elif bad == "name":
        weights["evil"] = weights.pop(name)
    save_file(weights, tmp_path / START_FILE)
    if bad == "text":
        (tmp_path / START_FILE).write_text("no model")
    with pytest.raises(DataError, match="start of the job"):
        unpack_start(tmp_path, weights_of(0))


def test_train_begins_with_what_pretrain_wrote(tmp_path, phantom_sites, capsys):
    out, again = tmp_path / "start.safetensors", tmp_path / "again.safetensors"
    words = ["pretrain", "--network", "tiny", "--steps", "64", "--threads", "1", "--device", "cpu", "--json"]
    assert main([*words, "--out", str(again)]) == 0
    capsys.readouterr()
    assert main([*words, "--workers", "2", "--out", str(out)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert out.read_bytes() == again.read_bytes()
    assert main([*words, "--start", str(out), "--out", str(again)]) == 0
    goes_on = json.loads(capsys.readouterr().out)
    assert goes_on["start_sha256"] == weights_sha256(read_start(str(out), TINY))
    assert goes_on["sha256"] != said["sha256"]
    assert (said["steps"], said["phantoms"]) == ("64", "8")
    changes = ["network=tiny", "spacing_mm=8.0", "local_steps=1", "learning_rate=1e-9"]
    words = ["train", str(phantom_sites), "--start", str(out), "--rounds", "1", "--threads", "1", "--device", "cpu"]
    words += ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "results")]
    assert main([*words, *(f"--set={change}" for change in changes)]) == 0
    import torch

    trained = torch.load(tmp_path / "results" / "model.pt", weights_only=True)["model"]
    expected = read_start(str(out), TINY)
    assert all(np.allclose(trained[name].numpy(), value, atol=1e-3) for name, value in expected.items())


@pytest.mark.parametrize("out", ["start.pt", "a-file/start.safetensors", "a-folder.safetensors"])
def test_pretrain_refuses_what_it_could_not_write_before_it_trains(out, tmp_path, capsys, monkeypatch):
    (tmp_path / "a-file").touch()
    (tmp_path / "a-folder.safetensors").mkdir()
    monkeypatch.setattr("fedbrats.model.training.pretraining.pretrain", lambda *_, **__: pytest.fail("it trains"))
    assert main(["pretrain", "--network", "tiny", "--out", str(tmp_path / out)]) == 1
    assert str(tmp_path / out) in capsys.readouterr().err
