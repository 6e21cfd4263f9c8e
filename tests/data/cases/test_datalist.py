"""A datalist says the same after it was written and read, MONAI reads it too, and a bad one is one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedbrats.data.cases.case import MODALITIES, Case
from fedbrats.data.cases.datalist import (
    Datalist,
    find_sites,
    read_datalist,
    write_datalist,
)
from fedbrats.data.regions import BRATS_2023
from fedbrats.errors import DataError


def make_case(folder: Path, name: str, patient: str | None = None, labelled: bool = True) -> Case:
    images = {modality: folder / name / f"{name}_{modality}.nii.gz" for modality in MODALITIES}
    return Case(name, patient or name, images, folder / name / f"{name}_seg.nii.gz" if labelled else None)


def make_datalist(folder: Path) -> Datalist:
    a, b, c = (make_case(folder, name) for name in "abc")
    return Datalist("north", BRATS_2023, (a, b), (c,), (make_case(folder, "d", labelled=False),))


def test_round_trip(tmp_path: Path) -> None:
    datalist = make_datalist(tmp_path)
    write_datalist(tmp_path, datalist)
    assert read_datalist(tmp_path) == datalist
    assert [case.name for case in datalist.cases] == ["a", "b", "c", "d"]


def test_paths_are_relative_so_that_a_site_folder_can_move(tmp_path: Path) -> None:
    write_datalist(tmp_path / "here", make_datalist(tmp_path / "here"))
    (tmp_path / "here").rename(tmp_path / "there")
    assert read_datalist(tmp_path / "there") == make_datalist(tmp_path / "there")


def test_monai_reads_it(phantom_sites: Path) -> None:
    from monai.data import load_decathlon_datalist

    site = phantom_sites / "site-1"
    items = load_decathlon_datalist(str(site / "datalist.json"), data_list_key="training")
    expected = read_datalist(site).training
    assert [[Path(path) for path in item["image"]] for item in items] == [list(case.image_paths) for case in expected]
    assert [Path(item["label"]) for item in items] == [case.label for case in expected]
    assert all(Path(path).is_file() for item in items for path in item["image"])


def test_sites_are_found_by_name(phantom_sites: Path, tmp_path: Path) -> None:
    assert [site.name for site in find_sites(phantom_sites)] == ["site-1", "site-2"]
    with pytest.raises(DataError, match="holds no site"):
        find_sites(tmp_path)


def test_no_datalist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no datalist\.json; `fedbrats split`"):
        read_datalist(tmp_path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"label_convention": "brats-1999"}, "'brats-1999' is not known"),
        ({"label_convention": None}, "label_convention is null, expected the name of a label convention"),
        ({"name": "a\0"}, r"name is .*, expected the name of the site"),
        ({"training": [{"case": "a"}]}, "case 1 of training: patient is missing, expected a name"),
        ({"training": "a"}, r'datalist\.json: training is "a", expected a list'),
        ({"training": [3]}, "case 1 of training is 3, expected a table"),
        ({"test": [{"case": "a", "patient": "a", "image": "t1.nii"}]}, "expected a list of 4 paths"),
        ({"training": [{"case": "a", "patient": "a", "image": ["t1.nii"]}]}, "case 1 of training has 1 images"),
    ],
)
def test_a_bad_datalist_is_one_sentence(tmp_path: Path, change: dict[str, object], complaint: str) -> None:
    write_datalist(tmp_path, make_datalist(tmp_path))
    path = tmp_path / "datalist.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=complaint):
        read_datalist(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "3"])
def test_no_datalist_document(tmp_path: Path, text: str) -> None:
    (tmp_path / "datalist.json").write_text(text)
    with pytest.raises(DataError, match=r"datalist\.json is (not|3, expected|\[\], expected)"):
        read_datalist(tmp_path)


def test_a_patient_in_two_sections_is_refused(tmp_path: Path) -> None:
    first, second = make_case(tmp_path, "a", "p"), make_case(tmp_path, "b", "p")
    write_datalist(tmp_path, Datalist("north", BRATS_2023, (first,), (second,)))
    with pytest.raises(DataError, match="one patient in two sections, case 1 of training and case 1 of validation"):
        read_datalist(tmp_path)
