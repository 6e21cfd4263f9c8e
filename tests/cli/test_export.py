"""`fedbrats export`: a bundle that predicts as fedbrats does, ONNX that computes as PyTorch does."""

import hashlib
import json
import shutil
import subprocess
import sys
from importlib.util import find_spec

import nibabel
import numpy as np
import pytest
import torch

from fedbrats.cli.main import main
from fedbrats.data.regions import REGIONS
from fedbrats.model.saved import load_model
from fedbrats.rows import FINAL_ROUND, ROWS_FILE, metric_rows


@pytest.fixture(scope="module")
def bundle(trained_results, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "bundle"
    assert main(["export", str(trained_results), "--bundle", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def cases(phantom_sites, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cases")
    for path in sorted((phantom_sites / "site-1").glob("Phantom*"))[:2]:
        shutil.copytree(path, folder / path.name)
    return folder


@pytest.fixture(scope="module")
def expected(trained_results, cases, tmp_path_factory):
    """The masks of `fedbrats predict`, by file name."""
    out = tmp_path_factory.mktemp("expected")
    assert main(["predict", str(trained_results), str(cases), "--out", str(out), "--no-overlays"]) == 0
    return masks_in(out)


def masks_in(folder):
    return {path.name: np.asanyarray(nibabel.load(path).dataobj) for path in sorted(folder.glob("*_prediction.nii.gz"))}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, mask in expected.items():
        np.testing.assert_array_equal(found[name], mask)


def test_monai_runs_the_bundle_to_the_same_masks(bundle, cases, expected, tmp_path):
    from monai.bundle import run

    run(
        config_file=str(bundle / "configs" / "inference.json"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        bundle_root=str(bundle),
        dataset_dir=str(cases),
        output_dir=str(tmp_path),
        device="cpu",
    )
    assert_same(masks_in(tmp_path), expected)


@pytest.mark.skipif(find_spec("fire") is None, reason="`python -m monai.bundle` needs the package fire")
def test_monais_command_runs_it_too(bundle, cases, expected, tmp_path):
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", bundle / "configs" / "inference.json"]
    command += ["--bundle_root", bundle, "--dataset_dir", cases, "--output_dir", tmp_path, "--device", "cpu"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=300)
    assert_same(masks_in(tmp_path), expected)


def test_the_bundle_says_what_it_is(bundle, trained_results):
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    weights = (bundle / "models" / "model.pt").read_bytes()
    assert metadata["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    channels = metadata["network_data_format"]
    assert list(channels["inputs"]["image"]["channel_def"].values()) == ["t1", "t1ce", "t2", "flair"]
    assert list(channels["outputs"]["pred"]["channel_def"].values()) == ["WT", "TC", "ET"]
    card = (bundle / "docs" / "README.md").read_text()
    summary = json.loads((trained_results / "summary.json").read_text())
    assert "Not a medical device" in card
    assert f"| mean | {summary['dice']['mean']:.3f} |" in card
    assert "2 sites with 6 training cases" in card
    assert not any(site in card for site in summary["per_site"])  # in aggregate only
    assert metadata["weights_sha256"] in card


def test_the_card_of_the_best_model_has_the_best_models_numbers(trained_results, tmp_path, capsys):
    job = shutil.copytree(trained_results, tmp_path / "job")
    weights = torch.load(job / "model.pt", weights_only=True)["model"]
    torch.save({"model": weights}, job / "best_model.pt")
    variables = {"network": "tiny", "seed": 0, "spacing_mm": 8.0, "normalisation": "zscore", "volume_shape": None}
    summary = json.loads((job / "summary.json").read_text())
    (job / "summary.json").write_text(json.dumps({**summary, "variables": variables}))
    words = ["export", str(job / "best_model.pt"), "--bundle", str(tmp_path / "bundle")]
    assert main(words) == 0
    card = tmp_path / "bundle" / "docs" / "README.md"
    assert "Not known for these weights" in card.read_text()
    dice = dict.fromkeys(("mean", *REGIONS), 0.625)
    rows = metric_rows(FINAL_ROUND, "site-1", "best", {"dice": dice, "iou": dice}, 7)
    with (job / ROWS_FILE).open("a") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
    assert main(words) == 0
    assert "| mean | 0.625 | 0.625 |" in card.read_text()
    assert "(7 in all)" in card.read_text()


def test_a_bundle_is_a_model_again(bundle, trained_results):
    model, original = load_model(bundle), load_model(trained_results)
    assert model.preparation == original.preparation
    assert model.settings == original.settings
    for name, value in original.network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], value)


def test_onnx_computes_what_the_network_does(trained_results, tmp_path):
    pytest.importorskip("onnx", reason="ONNX export needs the package onnx")
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX parity needs the package onnxruntime")
    path = tmp_path / "model.onnx"
    assert main(["export", str(trained_results), "--onnx", str(path), "--shape", "16", "24", "16"]) == 0
    image = np.random.default_rng(0).normal(size=(1, 4, 16, 24, 16)).astype(np.float32)
    [logits] = onnxruntime.InferenceSession(str(path)).run(None, {"image": image})
    with torch.no_grad():
        expected = load_model(trained_results).network(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "say what to write"),
        (["--onnx", "OUT/m.onnx", "--shape", "15", "16", "16"], "multiple of 4"),
        (["--bundle", "OUT"], "is not a bundle"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(trained_results, tmp_path, capsys, words, said):
    (tmp_path / "precious.txt").write_text("keep me")
    words = [word.replace("OUT", str(tmp_path)) for word in words]
    assert main(["export", str(trained_results), *words]) == 1
    assert said in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]
