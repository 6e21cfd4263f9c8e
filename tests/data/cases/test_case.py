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
from fedbrats.data.cases.layout import find_passed_over
from fedbrats.data.cases.patients import find_look_alikes, find_other_spellings
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
    with pytest.raises(DataError, match="holds no case: expected files such as"):
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
        ("BraTS-GLI-02005-100", "BraTS-GLI-02005-101"),
        ("sub-7_ses-1", "sub-7_ses-2"),
        ("sub-7_ses-1_run-1", "sub-7"),
        ("100017_time1", "100017_time2"),
        ("UPENN-GBM-00001_11", "UPENN-GBM-00001_21"),
        ("TCGA-02-0001_1996.08.23", "TCGA-02-0001_1997.01.30"),
        ("PAT7_20240101", "PAT7_20240901"),
        ("PAT7_2024-01-01_scan2", "PAT7_2023-01-01"),
        ("Patient-001_week-000-1", "Patient-001_week-040"),
        ("UCSF-PDGM-0429", "UCSF-PDGM-0429_FU003d"),
        ("AB12_preop", "AB12_postop"),
        ("AB12-baseline", "AB12_followup_2"),
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
        ("time1", "time2"),
        ("sub-7", "sub-8"),
        ("UPENN-GBM-00001_11", "UPENN-GBM-00002_11"),
        ("PAT_20241301", "PAT_20241302"),
        ("patient_1", "patient_2"),
        ("IXI002-Guys-0828", "IXI012-HH-1211"),
    ],
)
def test_different_patients_stay_different(one: str, other: str) -> None:
    assert patient_of(one) != patient_of(other)


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["AB12_1", "AB12_2", "CD7_1"], [["AB12_1", "AB12_2"]]),
        (["AB12a", "AB12_A", "AB12_b"], [["AB12_A", "AB12_b"]]),
        (["x_1", "x_2"], []),  # the number is all that tells them
        (["Brats18_CBICA_ABM_1", "Brats18_CBICA_ABM_2"], []),  # known to be one patient
        (["Phantom_site-1_001", "Phantom_site-1_002"], []),
        (["BraTS2021_00011", "BraTS2021_00012"], []),
        (["sub-1_ses-1", "sub-1_ses-2"], []),
    ],
)
def test_names_that_leave_the_patient_in_doubt_are_told(names: list[str], groups: list[list[str]]) -> None:
    assert find_look_alikes(names) == groups


@pytest.mark.parametrize(
    "spellings",
    [("PAT7", "PAT_07"), ("AB12_a", "ab12A"), ("sub-7", "sub-007"), ("UKM 0012", "UKM-12"), ("A1_02", "a1.2")],
)
def test_other_spellings_of_one_patient_are_told(spellings: tuple[str, str]) -> None:
    assert find_other_spellings([*spellings, "PAT8"]) == [sorted(spellings)]


@pytest.mark.parametrize(
    "patients",
    [("P1_11", "P11_1"), ("P10", "P100"), ("A_1", "B_1"), ("GLI-00012", "MEN-00012"), ("CBICA_ABM", "CBICA_ABN")],
)
def test_other_patients_are_no_other_spellings(patients: tuple[str, str]) -> None:
    assert find_other_spellings(patients) == []


APART = {
    "a folder a file, called after it": "{case}_{role}.nii/{case}_{role}.nii",
    "a folder a file, called otherwise": "{case}_{role}.nii/00000057_brain.nii",
    "a folder a modality": "{role}/{case}_{role}.nii.gz",
    "a folder a modality, files called after the case": "{role}/{case}.nii.gz",
    "files called after the modality": "{case}/{role}.nii.gz",
    "unpacked twice": "{case}/{case}/{case}_{role}.nii.gz",
    "a folder a case, and one more": "{case}.nii/{role}/{case}-{role}.nii",
}


@pytest.mark.parametrize("pattern", APART.values(), ids=APART)
@pytest.mark.parametrize("suffixes", [OLD, NEW], ids=["old", "new"])
def test_a_case_in_several_folders_is_one_case(tmp_path: Path, pattern: str, suffixes: tuple[str, ...]) -> None:
    for case in ("A_1", "B_1"):
        for suffix in suffixes:
            path = tmp_path / pattern.format(case=case, role=suffix)
            write_files(path.parent, path.name)
    cases = find_cases(tmp_path)
    assert [case.name for case in cases] == ["A_1", "B_1"]
    assert all(map(is_complete, cases))


def test_segmentations_in_a_folder_of_their_own_join_their_cases(tmp_path: Path) -> None:
    for name in ("UPENN-GBM-00001_11", "UPENN-GBM-00002_11"):
        write_files(
            tmp_path / "images_structural" / name, *(f"{name}_{s}.nii.gz" for s in ("T1", "T1GD", "T2", "FLAIR"))
        )
        write_files(tmp_path / "images_segm", f"{name}_segm.nii.gz")
    assert all(map(is_complete, find_cases(tmp_path)))


def test_a_second_segmentation_elsewhere_is_a_doubled_one_and_second_images_are_a_second_case(tmp_path: Path) -> None:
    write_files(tmp_path / "A", *(f"A_{suffix}.nii" for suffix in OLD))
    write_files(tmp_path / "masks", "A_seg.nii")
    (case,) = find_cases(tmp_path)
    assert case.label == tmp_path / "A" / "A_seg.nii"
    assert case.doubled == {"seg": (tmp_path / "masks" / "A_seg.nii",)}
    write_files(tmp_path / "copy", *(f"A_{suffix}.nii" for suffix in OLD))
    assert [case.name for case in find_cases(tmp_path)] == ["A", "A"]


@pytest.mark.parametrize(
    "name",
    [
        "A_t1_seg",
        "A_T1ce_seg",
        "A_flair-seg",
        "A-t1c_segm",
        "A_approx_seg",
        "A_predicted_seg",
        "A_automated_approx_segm",
    ],
)
def test_a_segmentation_of_an_image_or_of_another_making_is_none_of_the_case(tmp_path: Path, name: str) -> None:
    write_files(tmp_path, *(f"A_{m}.nii.gz" for m in MODALITIES), f"{name}.nii.gz", "A_t1_brain.nii.gz")
    (case,) = find_cases(tmp_path)
    assert (case.name, case.label, case.missing) == ("A", None, ())
    passed_over = find_passed_over(tmp_path, case.files.values())
    assert [path.name for path in passed_over] == sorted(["A_t1_brain.nii.gz", f"{name}.nii.gz"])


def test_a_case_may_be_called_after_a_modality(tmp_path: Path) -> None:
    write_files(tmp_path, *(f"A_t1_{suffix}.nii.gz" for suffix in OLD))
    (case,) = find_cases(tmp_path)
    assert case.name == "A_t1"
    assert is_complete(case)


@pytest.mark.parametrize(
    ("name", "words"),
    [("imagesTr/BRATS_001_0000.nii.gz", "named as nnU-Net's"), ("a/1.dcm", "DICOM files"), ("a.mha", "MetaImage")],
)
def test_what_a_folder_without_cases_holds_is_said(tmp_path: Path, name: str, words: str) -> None:
    write_files((tmp_path / name).parent, Path(name).name)
    with pytest.raises(DataError, match=words):
        find_cases(tmp_path)


@pytest.mark.real_data
def test_real_cases_are_all_found(real_data: Path) -> None:
    assert len(find_cases(real_data / "brats-mini")) == 39
    assert all(map(is_complete, find_cases(real_data)))
