"""`fedbrats predict` twice, with several models, and for viewers: nothing is lost, and names and colours come back."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from fedbrats.cli.main import main
from fedbrats.data.cases.case import find_cases
from fedbrats.data.regions import BRATS_2018
from fedbrats.errors import DataError
from fedbrats.report.export.predicted import remarks_on_volumes, write_lists


def predict(*words: object, status: int = 0) -> None:
    fixed = ("--threads", "1", "--device", "cpu", "--no-overlays", "--json")
    assert main(["predict", *map(str, words), *fixed]) == status


@pytest.fixture
def cases(phantom_sites: Path) -> list[Path]:
    """The folders of three cases."""
    return [case.images["t1"].parent for case in find_cases(phantom_sites / "site-1")[:3]]


def test_a_second_run_adds_its_cases_and_loses_none(
    trained_results: Path, cases: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "masks"
    for case in (cases[1], cases[0], cases[1]):
        predict(trained_results, case, "--out", out)
    printed = json.loads(capsys.readouterr().out.split("\n}\n")[-2] + "\n}")
    assert [entry["case"] for entry in printed["cases"]] == [cases[1].name]
    index = json.loads((out / "predictions.json").read_text())
    assert [entry["case"] for entry in index["cases"]] == [cases[0].name, cases[1].name]
    with (out / "volumes.csv").open() as stream:
        assert [row["case"] for row in csv.DictReader(stream)] == [cases[0].name, cases[1].name]


def test_two_runs_at_once_lose_no_case_of_each_other(tmp_path: Path) -> None:
    same = {"sha256": "a", "flips": False, "convention": "brats-2018", "findings": []}
    one, other = ({**same, "cases": []} for _ in range(2))
    for number in range(3):
        for name, document in (("one", one), ("other", other)):
            document["cases"].append({"case": f"{name}-{number}"})
            write_lists(document, tmp_path)
    index = json.loads((tmp_path / "predictions.json").read_text())
    assert [entry["case"] for entry in index["cases"]] == [f"{name}-{k}" for name in ("one", "other") for k in range(3)]
    with pytest.raises(DataError, match="holds predictions with sha256 'a'"):
        write_lists({**one, "sha256": "b"}, tmp_path)


def test_another_model_or_an_index_that_cannot_be_read_is_refused(
    trained_results: Path, cases: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "masks"
    predict(trained_results, cases[0], "--out", out)
    before = (out / "predictions.json").read_text()
    predict(trained_results, cases[1], "--out", out, "--flips", status=1)
    assert "holds predictions with flips False, and these would be with True" in capsys.readouterr().err
    assert (out / "predictions.json").read_text() == before
    for damaged in ("{", '{"cases": [], "findings": [3]}', '{"cases": 5}'):
        (out / "predictions.json").write_text(damaged)
        predict(trained_results, cases[1], "--out", out, status=1)
        assert "cannot be read, and what it says of earlier cases would be lost" in capsys.readouterr().err
        assert (out / "predictions.json").read_text() == damaged


def test_several_models_are_the_mean_of_their_probabilities(
    trained_results: Path, cases: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(trained_results, other)
    import torch

    document = torch.load(other / "model.pt", weights_only=True)
    document["settings"]["component_share"] = 0.0
    document["model"] = {name: value * 0.97 for name, value in document["model"].items()}
    torch.save(document, other / "model.pt")
    maps = {}
    for name, models in (("a", [trained_results]), ("b", [other]), ("ab", [other, trained_results])):
        predict(*models, cases[0], "--out", tmp_path / name, "--probabilities")
        path = tmp_path / name / f"{cases[0].name}_probability_WT.nii.gz"
        maps[name] = np.asanyarray(nibabel.load(path).dataobj)
    assert "2 models, whose probabilities are averaged" in capsys.readouterr().err
    assert np.abs(maps["a"] - maps["b"]).max() > 0.01
    kept = maps["a"] > 0  # parts of `a` alone that were left out
    np.testing.assert_allclose(maps["ab"][kept], ((maps["a"] + maps["b"]) / 2)[kept], atol=1e-6)


def test_3d_slicer_and_itk_snap_get_names_and_colours(trained_results: Path, cases: list[Path], tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    predict(trained_results, cases[0], "--out", tmp_path)
    nifti, slicer = (tmp_path / f"{cases[0].name}_prediction.{ending}" for ending in ("nii.gz", "seg.nrrd"))
    one, other = sitk.ReadImage(str(nifti)), sitk.ReadImage(str(slicer))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(one), sitk.GetArrayFromImage(other))
    for place in ("GetOrigin", "GetSpacing", "GetDirection"):
        np.testing.assert_allclose(getattr(other, place)(), getattr(one, place)(), atol=1e-5)
    told = {int(other.GetMetaData(f"Segment{k}_LabelValue")): other.GetMetaData(f"Segment{k}_Name") for k in range(3)}
    assert told == {value: name for value, (name, _) in BRATS_2018.written_labels.items()}
    assert [float(part) for part in other.GetMetaData("Segment2_Color").split()] == pytest.approx([1, 0.3608, 0.6588])
    table = (tmp_path / "labels_itksnap.txt").read_text()
    assert '4   255   92  168        1  1  1    "enhancing tumour"' in table


@pytest.mark.parametrize(
    ("whole_ml", "dropped_ml", "look", "known"),
    [(0.0, 0.0, 1, 0), (50.0, 0.0, 0, 0), (50.0, 0.4, 0, 0), (50.0, 2.0, 0, 1), (50.0, 6.0, 1, 0), (5.0, 1.5, 1, 0)],
)
def test_a_person_is_asked_to_look_where_it_matters(whole_ml: float, dropped_ml: float, look: int, known: int) -> None:
    found = remarks_on_volumes({"WT": whole_ml}, dropped_ml)
    assert tuple(map(len, found)) == (look, known)
