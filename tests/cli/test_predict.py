"""`fedbrats predict` on real files: masks, pictures and volumes for good cases, one sentence for each bad one."""

import csv
import json
import os
import shutil
import subprocess
import sys

import nibabel
import numpy as np
import pytest
import torch
from matplotlib.image import imread

from fedbrats.cli.main import main
from fedbrats.data.cases.case import find_cases
from fedbrats.data.regions import BRATS_2018, BRATS_2023, labels_to_regions
from fedbrats.model.network import SegmentationNetwork


def predict(capsys, *words, status=0) -> tuple[dict, str]:
    assert main(["predict", *map(str, words), "--threads", "1", "--device", "cpu", "--json"]) == status
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


@pytest.fixture
def folder(phantom_sites, tmp_path):
    """Three cases, free to be broken."""
    for path in sorted((phantom_sites / "site-1").glob("Phantom*"))[:3]:
        shutil.copytree(path, tmp_path / "cases" / path.name)
    return tmp_path / "cases"


def test_every_case_gets_a_mask_a_picture_and_volumes(trained_results, folder, tmp_path, capsys):
    out = tmp_path / "out"
    document, _ = predict(capsys, trained_results, folder, "--out", out, "--probabilities")
    assert document == json.loads((out / "predictions.json").read_text())
    assert document["unreached"] == 0
    assert document["convention"] == "brats-2018"  # as the segmentations beside the scans have it
    with (out / "volumes.csv").open() as stream:
        rows = {row["case"]: row for row in csv.DictReader(stream)}
    for case, entry in zip(find_cases(folder), document["cases"], strict=True):
        t1, mask = nibabel.load(case.images["t1"]), nibabel.load(entry["prediction"])
        assert mask.shape == t1.shape
        np.testing.assert_array_equal(mask.affine, t1.affine)
        assert [mask.header[k] for k in ("qform_code", "sform_code")] == [
            t1.header[k] for k in ("qform_code", "sform_code")
        ]
        assert mask.get_data_dtype() == np.uint8
        regions = labels_to_regions(np.asanyarray(mask.dataobj), BRATS_2018)
        assert entry["volumes_ml"]["WT"] == pytest.approx(regions[0].sum() * 0.064, abs=1e-3)
        assert float(rows[case.name]["WT_ml"]) == entry["volumes_ml"]["WT"]
        probability = np.asanyarray(nibabel.load(out / f"{case.name}_probability_WT.nii.gz").dataobj)
        np.testing.assert_array_equal(probability >= 0.5, regions[0] > 0)
        picture = imread(entry["overlay"])
        assert picture.shape[1] >= 1600
        assert picture[..., :3].std() > 0.05


def test_the_convention_asked_for_is_written(trained_results, folder, tmp_path, capsys):
    case = next(folder.iterdir())
    words = (trained_results, case, "--no-overlays")
    one, _ = predict(capsys, *words, "--out", tmp_path / "a")
    other, _ = predict(capsys, *words, "--out", tmp_path / "b", "--convention", "brats-2023")
    masks = [np.asanyarray(nibabel.load(d["cases"][0]["prediction"]).dataobj) for d in (one, other)]
    assert "overlay" not in one["cases"][0]
    np.testing.assert_array_equal(labels_to_regions(masks[0], BRATS_2018), labels_to_regions(masks[1], BRATS_2023))
    assert masks[1].max() <= 3


def unplace(case):
    for path in case.files.values():
        image = nibabel.load(path)
        image.set_qform(None, 0)
        image.set_sform(None, 0)
        nibabel.save(image, path)


def shift_one(case):
    image = nibabel.load(case.images["t2"])
    affine = image.affine.copy()
    affine[0, 3] += 20
    nibabel.save(nibabel.Nifti1Image(np.asanyarray(image.dataobj), affine), case.images["t2"])


BREAKAGES = {
    "missing": (lambda case: case.images["flair"].unlink(), "no flair image"),
    "damaged": (lambda case: case.images["t1ce"].write_bytes(b"\x1f\x8b"), "cannot be read"),
    "unplaced": (unplace, "does not say how its voxels lie"),
    "shifted": (shift_one, "20.0 mm away"),
    "copied": (lambda case: shutil.copyfile(case.images["t1"], case.images["t2"]), "show the same image"),
}


@pytest.mark.parametrize("kind", BREAKAGES)
def test_a_bad_case_is_refused_in_a_sentence_and_the_others_go_on(trained_results, folder, tmp_path, capsys, kind):
    break_case, said = BREAKAGES[kind]
    bad = find_cases(folder)[1]
    break_case(bad)
    out = tmp_path / "out"
    document, error = predict(capsys, trained_results, folder, "--out", out, "--no-overlays", status=1)
    entries = {entry["case"]: entry for entry in document["cases"]}
    assert said in entries[bad.name]["refused"]
    assert said in error
    assert not list(out.glob(f"{bad.name}*"))
    assert sum("prediction" in entry for entry in entries.values()) == 2
    assert {finding["case"] for finding in document["findings"] if finding["severity"] == "error"} == {bad.name}


def test_a_bad_segmentation_hinders_no_prediction(trained_results, folder, tmp_path, capsys):
    case = find_cases(folder)[0]
    case.label.write_bytes(b"no image")
    document, error = predict(capsys, trained_results, folder, "--out", tmp_path / "out")
    entry = document["cases"][0]
    assert "prediction" in entry
    assert "the truth is not drawn" in entry["warnings"][0]
    assert "look at this one" in error


def test_a_mirrored_segmentation_is_not_drawn(trained_results, folder, tmp_path, capsys):
    case = find_cases(folder)[0]
    nibabel.save(nibabel.as_closest_canonical(nibabel.load(case.label)), case.label)
    document, _ = predict(capsys, trained_results, case.label.parent, "--out", tmp_path / "out")
    [entry] = document["cases"]
    assert "overlay" in entry
    assert any("the truth is not drawn" in said and "its images' grid" in said for said in entry["warnings"])


def test_what_does_not_fit_into_memory_is_refused_in_a_sentence(trained_results, folder, tmp_path, capsys):
    """A window of these sides is 432 TB, which torch asks the system for."""
    window = ("--window", 30000, 30000, 30000)
    document, error = predict(capsys, trained_results, folder, "--out", tmp_path / "out", *window, status=1)
    assert len(document["cases"]) == 3
    assert all("memory: give a smaller --window than 30000" in entry["refused"] for entry in document["cases"])
    assert error.count("does not fit into memory") == 3
    assert document == json.loads((tmp_path / "out" / "predictions.json").read_text())


def test_a_command_that_ends_early_leaves_what_it_has_done(trained_results, folder, tmp_path, capsys):
    first, second, _ = find_cases(folder)
    out = tmp_path / "out"
    (out / f"{second.name}_prediction.nii.gz").mkdir(parents=True)  # no file can be written in its place
    words = [str(trained_results), str(folder), "--out", str(out), "--threads", "1", "--device", "cpu"]
    assert main(["predict", *words]) == 1
    assert f"{second.name}_prediction.nii.gz" in capsys.readouterr().err
    document = json.loads((out / "predictions.json").read_text())
    assert [entry["case"] for entry in document["cases"]] == [first.name]
    assert document["unreached"] == 2
    with (out / "volumes.csv").open() as stream:
        assert [row["case"] for row in csv.DictReader(stream)] == [first.name]


def test_cases_without_segmentation_are_what_it_is_for(trained_results, folder, tmp_path, capsys):
    for case in find_cases(folder):
        case.label.unlink()
    document, _ = predict(capsys, trained_results, folder, "--out", tmp_path / "out")
    assert all("overlay" in entry for entry in document["cases"])
    assert {warning for entry in document["cases"] for warning in entry["warnings"]} <= {"no tumour was found"}


def test_a_name_with_a_comma_is_one_cell_of_the_table(trained_results, folder, tmp_path, capsys):
    case = find_cases(folder)[0]
    (tmp_path / "one").mkdir()
    for role, path in case.files.items():
        shutil.copyfile(path, tmp_path / "one" / f'Doe, "J"_{role}.nii.gz')
    document, _ = predict(capsys, trained_results, tmp_path / "one", "--out", tmp_path / "out", "--no-overlays")
    with (tmp_path / "out" / "volumes.csv").open(newline="") as stream:
        [row] = csv.DictReader(stream)
    assert row["case"] == 'Doe, "J"'
    assert float(row["ET_ml"]) == document["cases"][0]["volumes_ml"]["ET"]


def test_a_folder_without_cases_is_refused(trained_results, tmp_path, capsys):
    assert main(["predict", str(trained_results), str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "holds no case" in capsys.readouterr().err


@pytest.mark.real_data
def test_a_full_size_case_stays_within_3_gib_and_on_its_grid(real_data, tmp_path):
    """With a network that learned nothing; benchmarks/predict.py has the Dice of one that did."""
    network = SegmentationNetwork("fast")
    about = {"network": {"preset": "fast"}, "preparation": {"spacing_mm": 2.0}, "settings": {}}
    torch.save({"model": network.state_dict(), **about}, tmp_path / "model.pt")
    case = find_cases(real_data / "brats-full")[0]
    command = [sys.executable, "-m", "fedbrats.cli.main", "predict", tmp_path / "model.pt"]
    command += [case.label.parent, "--out", tmp_path / "out", "--device", "cpu"]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    assert usage.ru_maxrss < 3 * 2**20  # KiB
    t1, mask = nibabel.load(case.images["t1"]), nibabel.load(tmp_path / "out" / f"{case.name}_prediction.nii.gz")
    assert mask.shape == t1.shape
    np.testing.assert_array_equal(mask.affine, t1.affine)
