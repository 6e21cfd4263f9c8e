"""Every layout that `check --help` lists goes from `check` over `split` to `predict`: phantoms under other names.

The commands are those of docs/guide/own-data.md.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from fedbrats.cli.main import main
from fedbrats.data.cases.case import Case, find_cases
from fedbrats.data.cases.datalist import find_sites, read_datalist
from fedbrats.data.cases.recognised import LAYOUTS
from fedbrats.data.volumes import read_volume
from tests.pages.reading import commands_under

PAGE = "docs/guide/own-data.md"
ROLES = ("t1", "t1ce", "t2", "flair", "seg")
OWN = "t1=T1_nativ,t1ce=T1_KM,flair=dark-fluid"
OWN_WORDS = {"t1": "T1_nativ", "t1ce": "T1_KM", "t2": "T2", "flair": "dark-fluid", "seg": "seg"}


def pattern(template: str, **words: str) -> Callable[[Path, int, Case], None]:
    """Copy a case to paths of a template with {n}, a patient's number, and {word}, the role's."""

    def bring(folder: Path, number: int, case: Case) -> None:
        for role, path in case.files.items():
            to = folder / template.format(n=f"{number:03d}", word=words.get(role, role))
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)

    return bring


def bids(folder: Path, number: int, case: Case) -> None:
    names = {"t1": "T1w", "t1ce": "ce-gd_T1w", "t2": "T2w", "flair": "FLAIR"}
    for role, path in case.files.items():
        home = folder / ("derivatives/masks" if role == "seg" else ".") / f"sub-{number:02d}" / "ses-1" / "anat"
        home.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, home / f"sub-{number:02d}_ses-1_{names.get(role, 'label-lesion_dseg')}.nii.gz")


def nnunet(folder: Path, number: int, case: Case) -> None:
    order = ("flair", "t1", "t1ce", "t2")
    for role, path in case.files.items():
        name = f"labelsTr/Glio_{number:03d}" if role == "seg" else f"imagesTr/Glio_{number:03d}_{order.index(role):04d}"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / f"{name}.nii.gz")
    channels = {"0": "FLAIR", "1": "T1", "2": "T1Gd", "3": "T2"}
    (folder / "dataset.json").write_text(json.dumps({"channel_names": channels, "file_ending": ".nii.gz"}))


def decathlon(folder: Path, number: int, case: Case) -> None:
    images = [nibabel.load(case.images[m]) for m in ("flair", "t1", "t1ce", "t2")]
    voxels = np.stack([np.asanyarray(image.dataobj) for image in images], axis=-1)
    name = f"GLIO_{number:03d}.nii.gz"
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, images[0].affine, images[0].header), folder / "imagesTr" / name)
    shutil.copyfile(case.files["seg"], folder / "labelsTr" / name)
    modality = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
    (folder / "dataset.json").write_text(json.dumps({"modality": modality}))


def scattered(folder: Path, number: int, case: Case) -> dict[str, str]:
    """Files whose names tell nothing."""
    files = {}
    for k, (role, path) in enumerate(case.files.items()):
        (folder / "scans").mkdir(parents=True, exist_ok=True)
        files[role] = f"scans/{number}-{k}.nii.gz"
        shutil.copyfile(path, folder / files[role])
    return files


def table(folder: Path, number: int, case: Case) -> None:
    files = scattered(folder, number, case)
    with (folder / "cases.csv").open("a", newline="") as stream:
        writer = csv.writer(stream, delimiter=";")
        if number == 1:
            writer.writerow(("case", "patient", "T1", "T1 KM", "T2", "FLAIR", "mask"))
        writer.writerow((f"X{number}", f"P{number}", *(files[role] for role in ROLES)))


def listed(folder: Path, number: int, case: Case) -> None:
    files = scattered(folder, number, case)
    path = folder / "cases.json"
    document = json.loads(path.read_text()) if number > 1 else {"training": [], "modality": {}}
    document["modality"] = {"0": "T2", "1": "T1", "2": "FLAIR", "3": "T1c"}
    image = [files[role] for role in ("t2", "t1", "flair", "t1ce")]
    document["training"].append({"image": image, "label": files["seg"], "case": f"X{number}"})
    path.write_text(json.dumps(document))


NEW = {"t1": "t1n", "t1ce": "t1c", "t2": "t2w", "flair": "t2f"}
LONG = {"t1": "T1", "t1ce": "T1_GD", "t2": "T2", "flair": "T2_FLAIR", "seg": "seg"}
WRITTEN: dict[str, tuple[Callable[[Path, int, Case], None], str, tuple[str, ...]]] = {
    "BraTS 2017 to 2021": (pattern("Glio_{n}/Glio_{n}_{word}.nii.gz"), "", ()),
    "BraTS 2023 and later": (pattern("Glio-{n}/Glio-{n}-{word}.nii.gz", **NEW), "", ()),
    "one folder for each case": (pattern("patient_{n}/session_1/{word}.nii.gz", t1ce="T1ce", flair="FLAIR"), "", ()),
    "all in one folder": (pattern("MR{n}_{word}.nii.gz", **LONG), "", ()),
    "one folder for each modality": (pattern("{word}/MR{n}.nii.gz", **LONG), "", ()),
    "BIDS": (bids, "", ()),
    "nnU-Net raw": (nnunet, "", ()),
    "Medical Segmentation Decathlon": (decathlon, "", ()),
    "a table, cases.csv": (table, "cases.csv", ("--names", "t1ce=T1 KM")),
    "a list, cases.json": (listed, "cases.json", ()),
    "names of your own": (
        pattern("MEIER{n}/scan_{word}_brain.nii.gz", **OWN_WORDS),
        "",
        ("--names", f"t2=T2,seg=seg,{OWN}"),
    ),
}


def test_every_layout_that_is_listed_is_tried() -> None:
    assert WRITTEN.keys() == {layout.name for layout in LAYOUTS}
    assert len(WRITTEN) >= 10


@pytest.mark.parametrize("layout", WRITTEN)
def test_a_layout_goes_from_check_to_predict(
    layout: str, phantom_sites: Path, trained_results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bring, name, words = WRITTEN[layout]
    originals = find_cases(phantom_sites / "site-1")[:3]
    folder = tmp_path / "data"
    folder.mkdir()
    for number, case in enumerate(originals, start=1):
        bring(folder, number, case)
    data, sites, out = str(folder / name), tmp_path / "sites", tmp_path / "masks"
    known = {"DATA": data, "CASE_FOLDER": data, "sites": str(sites), "masks": str(out), "latest": str(trained_results)}
    pages = [*commands_under(PAGE, "## Check and split"), *commands_under(PAGE, "## Look at the result")]
    check, split, predict = (
        next([known.get(word, word) for word in command] for command in pages if command[0] == name)
        for name in ("check", "split", "predict")
    )

    assert main([*check, *words, "--workers", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["cases"], document["patients"]) == (3, 3)
    assert {problem["kind"] for problem in document["problems"]} <= {"several-folders"}

    assert main([*split, *words, "--workers", "1", "--sites", "1", "--validation-share", "0.4", "--json"]) == 0
    capsys.readouterr()
    (site,) = find_sites(sites)
    brought = sorted(read_datalist(site).cases, key=lambda case: case.name)
    assert len(find_cases(sites)) == 3  # without --names: what split brings has names that every command knows
    for case, original in zip(brought, originals, strict=True):
        for role, path in original.files.items():
            np.testing.assert_array_equal(read_volume(case.files[role]).voxels, read_volume(path).voxels)

    assert main([*predict, *words, "--threads", "1", "--device", "cpu", "--json", "--no-overlays"]) == 0
    entries = json.loads(capsys.readouterr().out)["cases"]
    assert [entry["case"] for entry in entries] == [case.name for case in brought]
    assert all(Path(entry["prediction"]).is_file() for entry in entries)


def test_own_names_are_kept_with_the_site(
    phantom_sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, case in enumerate(find_cases(phantom_sites / "site-1")[:3], start=1):
        pattern("MEIER{n}/{word}.nii.gz", **OWN_WORDS)(tmp_path / "data", number, case)
    words = ["--names", OWN, "--workers", "1", "--sites", "1", "--out", str(tmp_path / "sites")]
    assert main(["split", str(tmp_path / "data"), *words]) == 0
    capsys.readouterr()
    (site,) = find_sites(tmp_path / "sites")
    kept = {"t1": ["T1_nativ"], "t1ce": ["T1_KM"], "flair": ["dark-fluid"]}
    assert read_datalist(site).names.as_document() == kept
    assert json.loads((tmp_path / "sites" / "split.json").read_text())["names"] == kept


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("t1ce", "expected ROLE=NAME"),
        ("t1x=A", "'t1x' is none of t1, t1ce"),
        ("t1=A,t2=a", "gives 'a' to t1 and to t2"),
    ],
)
def test_names_that_mean_nothing_are_wrong_usage(words: str, said: str, tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", str(tmp_path), "--names", words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("channels", "words", "said"),
    [
        (
            {"channel_names": {"0": "FLAIR", "1": "T1", "2": "KM", "3": "T2"}},
            [],
            "which channel is t1ce (it has 0 = FLAIR",
        ),
        ({"channel_names": {"0": "FLAIR", "1": "T1", "2": "KM", "3": "T2"}}, ["--names", "t1ce=KM"], ""),
        ({}, ["--names", "flair=0000,t1=0001,t1ce=0002,t2=0003"], ""),
        ({}, [], "whose numbers its dataset.json explains"),
    ],
)
def test_channels_that_dataset_json_does_not_explain_are_asked_for(
    channels: dict, words: list[str], said: str, phantom_sites: Path, tmp_path: Path, capsys
) -> None:
    nnunet(tmp_path, 1, find_cases(phantom_sites / "site-1")[0])
    (tmp_path / "dataset.json").write_text(json.dumps(channels))
    assert main(["check", str(tmp_path), *words, "--workers", "1"]) == bool(said)
    assert said in capsys.readouterr().err


def test_what_was_not_taken_is_named_with_the_reason(
    phantom_sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, case in enumerate(find_cases(phantom_sites / "site-1")[:2], start=1):
        pattern("MR{n}/MR{n}_{word}.nii.gz")(tmp_path, number, case)
        (tmp_path / f"MR{number:03d}" / f"MR{number:03d}_ADC.nii.gz").touch()
    (tmp_path / "MR001" / "MR001_t1_seg.nii.gz").touch()
    for name, file in (("MR003", "1.dcm"), ("MR004", "scan.nii.gz"), ("MR005", "")):
        (tmp_path / name).mkdir()
        if file:
            (tmp_path / name / file).touch()
    assert main(["check", str(tmp_path), "--workers", "1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    said = {problem["message"]: problem["case"] for problem in document["problems"]}
    assert "MR001_ADC.nii.gz (and 1 more file): no name of a modality or of a segmentation" in "".join(said)
    assert said["MR001_t1_seg.nii.gz: a segmentation of one image, and not of the case"] == "MR001"
    assert any("in 3 folders: MR003 (DICOM files" in text and "MR005 (empty)" in text for text in said)
    assert document["folders_without_case"] == 3


@pytest.mark.parametrize(
    ("words", "said"), [([], "has two files for t1, "), (["--names", "t1=T1w"], "")], ids=["two", "one is named"]
)
def test_two_columns_for_one_modality_are_no_guess(
    words: list[str], said: str, phantom_sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = scattered(tmp_path, 1, find_cases(phantom_sites / "site-1")[0])
    row = ("X1", "scans/raw.nii.gz", *(files[role] for role in ROLES))
    (tmp_path / "cases.csv").write_text("case,t1,T1w,t1ce,t2,flair,seg\n" + ",".join(row) + "\n")
    assert main(["check", str(tmp_path / "cases.csv"), *words, "--workers", "1"]) == bool(said)
    assert said in capsys.readouterr().err


def test_two_channels_of_one_modality_are_no_guess(phantom_sites: Path, tmp_path: Path, capsys) -> None:
    decathlon(tmp_path, 1, find_cases(phantom_sites / "site-1")[0])
    channels = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w", "4": "T1"}
    (tmp_path / "dataset.json").write_text(json.dumps({"modality": channels}))
    assert main(["check", str(tmp_path), "--workers", "1"]) == 1
    assert "has t1 in channels 0001 and 0004" in capsys.readouterr().err
