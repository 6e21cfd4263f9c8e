"""A model whose personal part stayed at the sites never predicts with an untrained one in its place."""

import json
import shutil

import pytest
import torch

from fedbrats.cli.main import main
from fedbrats.model.network import SegmentationNetwork
from fedbrats.site.personal import save_personal

VARIABLES = {"network": "tiny", "seed": 0, "spacing_mm": 8.0, "normalisation": "zscore", "volume_shape": None}


@pytest.fixture
def make_job(tmp_path):
    """A function that writes the results of a job whose sites keep something, and one site's `personal.npz` of it."""

    def make(kept="head", **variables):
        network = SegmentationNetwork("tiny", seed=0)
        torch.save({"model": network.state_dict()}, tmp_path / "global_model.pt")
        (tmp_path / "summary.json").write_text(json.dumps({"variables": {**VARIABLES, **variables}}))
        weights = SegmentationNetwork("tiny", seed=1).state_dict()
        save_personal(tmp_path, {name: weights[name].numpy() for name in network.personal_names(kept)})
        return tmp_path

    return make


def words_of(command, job, phantom_sites):
    if command == "evaluate":
        return [command, job, phantom_sites / "site-2", "--threads", "1", "--device", "cpu"]
    if command == "predict":
        case = next((phantom_sites / "site-2").glob("Phantom*"))
        return [command, job, case, "--out", job / "out", "--no-overlays", "--threads", "1", "--device", "cpu"]
    if command == "personalise":
        return [command, job, phantom_sites / "site-2", "--personal", "norm"]
    return [command, job, "--bundle", job / "out"]


def ask(capsys, words):
    status = main(list(map(str, words)))
    return status, capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "predict", "export"])
def test_without_the_personal_part_it_is_refused_and_with_it_not(make_job, phantom_sites, capsys, command):
    job = make_job(personal="head")
    words = words_of(command, job, phantom_sites)
    status, said = ask(capsys, words)
    assert status == 1
    assert "which its sites never shared (personal: head)" in said
    assert "RESULTS/sites/SITE/personal.npz" in said
    assert not (job / "out").exists()
    assert ask(capsys, [*words, "--personal", job / "personal.npz"])[0] == 0


def test_weights_that_leave_something_untrained_are_refused(make_job, phantom_sites, capsys):
    job = make_job(kept="norm", personal="all")
    words = [*words_of("evaluate", job, phantom_sites), "--personal", job / "personal.npz"]
    status, said = ask(capsys, words)
    assert status == 1
    assert "personal.npz lacks" in said


def test_the_model_before_the_rounds_at_home_comes_with_a_warning(make_job, phantom_sites, capsys):
    job = make_job(kept="all", personal_rounds=3)
    words = words_of("evaluate", job, phantom_sites)
    status, said = ask(capsys, words)
    assert status == 0
    assert "the model before the last 3 rounds" in said
    assert "warning" not in ask(capsys, [*words, "--personal", job / "personal.npz"])[1]


@pytest.mark.parametrize("command", ["evaluate", "predict", "export", "personalise"])
def test_a_job_of_several_runs_is_one_sentence_and_latest_the_newest(
    make_job, phantom_sites, tmp_path, capsys, command
):
    older, newer = tmp_path / "fedavg-20260101-120000", tmp_path / "fedavg-20260102-090000"
    job = make_job(personal="head")  # which every one of these commands refuses, and names
    for folder in (older, newer):
        shutil.copytree(job, folder, ignore=shutil.ignore_patterns("fedavg-*"))
    command, _, *rest = words_of(command, job, phantom_sites)
    status, err = ask(capsys, [command, tmp_path / "latest", *rest])
    assert status == 1
    assert f"latest is {newer}" in err
    with pytest.raises(SystemExit) as ended:
        main([command, str(tmp_path / "fedavg"), *map(str, rest)])
    assert ended.value.code == 2
    assert f"can be 2 runs, the newest first: {newer}, {older}" in capsys.readouterr().err
    if command in ("export", "personalise"):
        status, err = ask(capsys, [command, older, newer, *rest])
        assert status == 2
        assert "one run is needed, and 2 are given" in err


def test_personal_weights_need_the_run_that_they_are_of(make_job, phantom_sites, tmp_path, capsys):
    job = make_job(personal="head")
    command, _, *rest = words_of("evaluate", job, phantom_sites)
    runs = [tmp_path / "fedper-20260101-120000", tmp_path / "fedper-20260102-090000"]
    for folder in runs:
        shutil.copytree(job, folder)
    status, err = ask(capsys, [command, *runs, *rest, "--personal", job / "personal.npz"])
    assert status == 1
    assert "belongs to one run, and 2 are given" in err
