"""Every year's names are found, and a patient is the same patient in all of them. Empty files do: none is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedbrats.data.cases.case import (
    MODALITIES,
    Case,
    find_cases,
    patient_of,
)
from fedbrats.errors import DataError

OLD = ("t1", "t1ce", "t2", "flair", "seg")
NEW = ("t1n", "t1c", "t2w", "t2f", "seg")


def write_files(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def is_complete(case: Case) -> bool:
    """Whether all four modalities and a segmentation are there, each once."""
    return not case.missing and case.label is not None and not case.doubled


@pytest.mark.parametrize(
    ("folder", "name", "separator", "suffixes", "ending"),
    [
        ("HGG/Brats17_CBICA_AAB_1", "Brats17_CBICA_AAB_1", "_", OLD, ".nii.gz"),
        ("LGG/Brats18_TCIA10_628_1", "Brats18_TCIA10_628_1", "_", OLD, ".nii.gz"),
        ("MICCAI_BraTS_2019/HGG/BraTS19_2013_2_1", "BraTS19_2013_2_1", "_", OLD, ".nii"),
        ("BraTS20_Training_001", "BraTS20_Training_001", "_", OLD, ".nii"),
        ("BraTS2021_00002", "BraTS2021_00002", "_", OLD, ".nii.gz"),
        ("BraTS-GLI-00005-000", "BraTS-GLI-00005-000", "-", NEW, ".nii.gz"),
        (".", "all-in-one-folder", "_", OLD, ".nii"),
    ],
)
def test_every_naming_is_found(
    tmp_path: Path, folder: str, name: str, separator: str, suffixes: tuple[str, ...], ending: str
) -> None:
    write_files(tmp_path / folder, *(f"{name}{separator}{suffix}{ending}" for suffix in suffixes))
    (case,) = find_cases(tmp_path)
    assert case.name == name
    assert tuple(case.images) == MODALITIES
    assert is_complete(case)
    names = [path.name for path in (*case.image_paths, case.files["seg"])]
    assert names == [f"{name}{separator}{suffix}{ending}" for suffix in suffixes]


def test_the_segmentation_with_another_name_belongs_to_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "BraTS20_Training_355"
    write_files(folder, *(f"BraTS20_Training_355_{m}.nii" for m in MODALITIES), "W39_1998.09.19_Segm.nii")
    (case,) = find_cases(tmp_path)
    assert case.name == "BraTS20_Training_355"
    assert case.label == folder / "W39_1998.09.19_Segm.nii"


def test_a_stray_segmentation_is_not_given_to_one_of_two_cases(tmp_path: Path) -> None:
    write_files(tmp_path, "a_t1.nii", "b_t1.nii", "c_seg.nii")
    assert [(case.name, case.label is not None) for case in find_cases(tmp_path)] == [
        ("a", False),
        ("b", False),
        ("c", True),
    ]


def test_missing_and_doubled_files_are_kept_apart(tmp_path: Path) -> None:
    write_files(
        tmp_path, "x_t1.nii", "x_t1.nii.gz", "x_t1ce.nii", "x_flair.nii", "x_seg.nii", "notes.txt", "._x_t2.nii"
    )
    (case,) = find_cases(tmp_path)
    assert case.missing == ("t2",)
    assert case.doubled == {"t1": (tmp_path / "x_t1.nii.gz",)}
    with pytest.raises(DataError, match="case x has no t2 image"):
        _ = case.image_paths


def test_cases_come_in_order_and_hidden_folders_stay_hidden(tmp_path: Path) -> None:
    for name in ("b", "a", ".half-written"):
        write_files(tmp_path / name, f"{name.strip('.')}_t1.nii")
    assert [case.name for case in find_cases(tmp_path)] == ["a", "b"]


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    write_files(tmp_path / "elsewhere" / "a", "a_t1.nii")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").symlink_to(tmp_path / "elsewhere" / "a")
    (folder / "loop").symlink_to(folder)
    assert [case.name for case in find_cases(folder)] == ["a"]


def test_a_folder_without_cases_is_one_sentence(tmp_path: Path) -> None:
    write_files(tmp_path, "readme.txt", "brain.nii.gz")
    with pytest.raises(DataError, match="holds no BraTS case: expected files such as"):
        find_cases(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        find_cases(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Brats18_CBICA_ABM_1", "BraTS19_CBICA_ABM_1"),
        ("Brats17_2013_11_1", "Brats18_2013_11_1"),
        ("Brats17_TCIA_131_1", "Brats18_TCIA01_131_1"),
        ("BraTS-GLI-00005-000", "BraTS-GLI-00005-001"),
        ("BraTS2021_00005", "BraTS-GLI-00005-000"),
    ],
)
def test_the_same_patient_under_two_names(one: str, other: str) -> None:
    assert patient_of(one) == patient_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Brats18_CBICA_ABM_1", "Brats18_CBICA_ABN_1"),
        ("Brats18_2013_1_1", "Brats18_2013_11_1"),
        ("BraTS-GLI-00005-000", "BraTS-MEN-00005-000"),
        ("BraTS20_Training_001", "BraTS20_Validation_001"),
        ("BraTS20_Training_001", "BraTS2021_00001"),
        ("Phantom_site-1_001", "Phantom_site-1_002"),
    ],
)
def test_different_patients_stay_different(one: str, other: str) -> None:
    assert patient_of(one) != patient_of(other)


@pytest.mark.real_data
def test_real_cases_are_all_found(real_data: Path) -> None:
    assert len(find_cases(real_data / "brats-mini")) == 39
    assert all(map(is_complete, find_cases(real_data)))
