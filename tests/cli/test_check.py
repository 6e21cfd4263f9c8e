"""`fedbrats check`: tables and documents, the exit status, and every kind of problem in one folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedbrats.cli.main import main
from fedbrats.data.cases.case import find_cases
from fedbrats.data.check.problems import KINDS
from tests.data.broken import BREAKAGES, add_noise, break_case, copy_case, write_repeated_cases


def check(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict]:
    """The exit status and the document of `fedbrats check ... --json`, of which standard output holds nothing else."""
    status = main(["check", *map(str, arguments), "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_clean_data_set(phantom_sites: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, document = check(capsys, phantom_sites)
    assert status == 0
    assert document.pop("seconds") > 0
    assert document == {
        "folder": str(phantom_sites),
        "cases": 8,
        "patients": 8,
        "convention": "brats-2018",
        "convention_reason": "the labels seen are 1, 2, 4",
        "errors": 0,
        "warnings": 0,
        "notes": 0,
        "folders_without_case": 0,
        "problems": [],
    }


def test_table_states_the_convention_and_the_counts(phantom_sites: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(phantom_sites), "--workers", "1"]) == 0
    out = capsys.readouterr().out
    assert "label convention: brats-2018 (ET=4), the labels seen are 1, 2, 4" in out
    assert "8 case(s) of 8 patient(s)" in out


def test_a_folder_of_broken_phantoms_shows_every_kind(
    phantom_sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = find_cases(phantom_sites / "site-1")[0]
    expected = set()
    for seed, (name, breakage) in enumerate(BREAKAGES.items()):
        copied = copy_case(sound, tmp_path / "noisy", f"Phantom_{name}")
        add_noise(copied, seed)
        case = break_case(copied, tmp_path / "broken", copied.name, breakage)
        expected.add((case.name, breakage.kind, breakage.role is not None))
    write_repeated_cases(sound, tmp_path / "broken")
    expected |= {
        ("Brats18_CBICA_ABM_1", "same-patient", False),
        ("BraTS20_Training_002", "same-images", False),
        ("BraTS20_Training_003", "doubled-case", True),
    }
    status, document = check(capsys, tmp_path / "broken")
    assert status == 1
    assert {(p["case"], p["kind"], p["file"] != "") for p in document["problems"]} == expected
    of_data_sets = {"unsettled-convention", "assumed-convention", "similar-names", "passed-over", "several-folders"}
    of_data_sets |= {"folders-without-case"}
    assert {p["kind"] for p in document["problems"]} == KINDS.keys() - of_data_sets
    assert document["errors"] + document["warnings"] == len(document["problems"])
    assert all(p["severity"] == KINDS[p["kind"]].severity for p in document["problems"])
    assert all(Path(p["file"]).exists() for p in document["problems"] if p["file"])

    assert main(["check", str(tmp_path / "broken")]) == 1
    table = capsys.readouterr().out
    assert all(f"Phantom_{name}_{b.role}.nii" in table for name, b in BREAKAGES.items() if b.role)


def test_a_warning_alone_ends_with_1_only_where_that_is_asked_for(
    phantom_sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = find_cases(phantom_sites / "site-1")[0]
    break_case(sound, tmp_path, "Phantom_x", BREAKAGES["half-flair"])
    status, document = check(capsys, tmp_path)
    assert status == 0
    assert check(capsys, tmp_path, "--strict")[0] == 1
    assert (document["errors"], document["warnings"]) == (0, 1)
    assert "flair shows only" in document["problems"][0]["message"]


def test_the_convention_is_never_guessed_silently(
    phantom_sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = find_cases(phantom_sites / "site-1")[0]
    break_case(sound, tmp_path / "old", "Brats18_2013_0_1", BREAKAGES["unmarked"])
    break_case(sound, tmp_path / "other", "patient-1", BREAKAGES["unmarked"])
    _, assumed = check(capsys, tmp_path / "old")
    assert assumed["convention"] == "brats-2018"
    assert {p["kind"] for p in assumed["problems"]} == {"assumed-convention", "empty-segmentation"}
    _, open_ = check(capsys, tmp_path / "other")
    assert open_["convention"] is None
    assert {p["kind"] for p in open_["problems"]} == {"unsettled-convention", "empty-segmentation"}
    _, chosen = check(capsys, tmp_path / "other", "--convention", "brats-2023")
    assert chosen["convention"] == "brats-2023"
    assert {p["kind"] for p in chosen["problems"]} == {"empty-segmentation"}


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_no_cases_is_one_sentence(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / name)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("fedbrats: ")
    assert captured.err.count("\n") == 1


@pytest.mark.real_data
def test_real_cases_have_one_problem(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, document = check(capsys, real_data / "brats-mini")
    assert status == 0
    assert (document["cases"], document["convention"]) == (39, "brats-2018")
    assert [(p["case"], p["kind"]) for p in document["problems"]] == [("Brats18_2013_20_1", "partial-coverage")]


def test_files_of_no_case_and_scattered_ones_are_notes(
    phantom_sites: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = copy_case(find_cases(phantom_sites / "site-1")[0], tmp_path, "Phantom_x")
    label = case.files["seg"]
    (tmp_path / "segmentations").mkdir()
    label.rename(tmp_path / "segmentations" / label.name)
    for name in ("Phantom_x_t1_seg.nii.gz", "Phantom_x_t1_pve_0.nii.gz"):
        (case.files["t1"].with_name(name)).write_bytes(b"tissues")
    status, document = check(capsys, tmp_path)
    assert (status, document["notes"]) == (0, 3)
    by_kind = {problem["kind"]: problem for problem in document["problems"]}
    assert sorted(by_kind) == ["passed-over", "several-folders"]
    over = [problem for problem in document["problems"] if problem["kind"] == "passed-over"]
    assert [problem["case"] for problem in over] == ["Phantom_x", "Phantom_x"]
    assert "Phantom_x_t1_seg.nii.gz: a segmentation of one image" in over[1]["message"]
    assert "Phantom_x were put together" in by_kind["several-folders"]["message"]
