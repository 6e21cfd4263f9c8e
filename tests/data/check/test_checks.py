"""Every kind of breakage is found, named with its case and file, and nothing else is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fedbrats.data.cases.case import Case, find_cases
from fedbrats.data.check.checks import check_case, examine_case
from fedbrats.data.check.problems import KINDS
from fedbrats.data.check.survey import judge_cases
from fedbrats.data.regions import BRATS_2018
from tests.data.broken import BREAKAGES, add_noise, break_case, copy_case, rewrite, write_repeated_cases


@pytest.fixture(scope="module")
def sound_case(phantom_sites: Path) -> Case:
    return find_cases(phantom_sites / "site-1")[0]


def test_sound_phantoms_are_clean(phantom_sites: Path) -> None:
    settled, problems = judge_cases([examine_case(case) for case in find_cases(phantom_sites)])
    assert problems == []
    assert settled is not None
    assert settled.convention == BRATS_2018


@pytest.mark.parametrize("name", BREAKAGES)
def test_breakage_is_named_with_case_and_file(name: str, sound_case: Case, tmp_path: Path) -> None:
    breakage = BREAKAGES[name]
    case = break_case(sound_case, tmp_path, f"Phantom_{name}", breakage)
    problems = check_case(case, BRATS_2018)
    assert {problem.kind for problem in problems} == {breakage.kind}
    assert {problem.case for problem in problems} == {case.name}
    assert all(problem.severity == KINDS[breakage.kind].severity for problem in problems)
    if breakage.role:
        assert f"{case.name}_{breakage.role}.nii" in problems[0].file
    else:
        assert problems[0].file == ""


def test_a_fourth_axis_of_length_1_is_no_problem(sound_case: Case, tmp_path: Path) -> None:
    case = copy_case(sound_case, tmp_path, "Phantom_x")
    for role in case.files:
        rewrite(case, role, lambda voxels: voxels[..., None])
    expected, found = examine_case(sound_case), examine_case(case)
    assert found.problems == ()
    assert (found.labels, found.fingerprints) == (expected.labels, expected.fingerprints)


def test_a_case_without_any_code_is_one_problem_and_its_labels_are_still_read(sound_case: Case, tmp_path: Path) -> None:
    case = break_case(sound_case, tmp_path, "Phantom_x", BREAKAGES["unplaced-case"])
    examination = examine_case(case)
    (problem,) = examination.problems
    assert problem.message.startswith("each of t1, t1ce, t2, flair, seg does not say how its voxels lie in the patient")
    assert "convert the scan anew from DICOM, or set the code" in problem.message
    assert set(examination.labels or ()) == {1, 2, 4}


@pytest.mark.parametrize("name", [name for name in BREAKAGES if name.startswith("exchanged")])
def test_exchange_names_both_modalities(name: str, sound_case: Case, tmp_path: Path) -> None:
    _, first, second = name.split("-")
    (problem,) = check_case(break_case(sound_case, tmp_path, "Phantom_x", BREAKAGES[name]))
    assert problem.message == f"{first} and {second} look exchanged"


def test_several_problems_of_one_case_are_all_reported(sound_case: Case, tmp_path: Path) -> None:
    case = copy_case(sound_case, tmp_path, "Phantom_bad")
    for name in ("nan", "truncated", "label-7"):
        BREAKAGES[name].apply(case)
    kinds = {problem.kind for problem in check_case(case, BRATS_2018)}
    assert kinds == {"not-finite", "unreadable", "unknown-labels"}


def test_a_file_that_vanished_is_unreadable(sound_case: Case, tmp_path: Path) -> None:
    case = copy_case(sound_case, tmp_path, "Phantom_gone")
    case.files["t1"].unlink()
    (problem,) = check_case(case)
    assert problem.kind == "unreadable"
    assert problem.message.endswith("is not there")


def test_repetitions_are_found_by_name_and_by_content(sound_case: Case, tmp_path: Path) -> None:
    write_repeated_cases(sound_case, tmp_path)
    _, problems = judge_cases([examine_case(case) for case in find_cases(tmp_path)])
    assert {(p.kind, p.case) for p in problems} == {
        ("same-patient", "Brats18_CBICA_ABM_1"),
        ("same-images", "BraTS20_Training_002"),
        ("doubled-case", "BraTS20_Training_003"),
    }
    assert all(p.message for p in problems)


def test_labels_of_two_conventions_ask_for_one(sound_case: Case, tmp_path: Path) -> None:
    first = copy_case(sound_case, tmp_path, "Phantom_a")
    second = copy_case(sound_case, tmp_path, "Phantom_b")
    add_noise(second, 1)
    examinations = [examine_case(case) for case in (first, second)]
    labels = {1: 1.0, 2: 1.0, 3: 1.0}
    mixed = [examinations[0], type(examinations[1])(second, (), labels, examinations[1].fingerprints)]
    settled, problems = judge_cases(mixed)
    assert settled is None
    assert [p.kind for p in problems] == ["unsettled-convention"]
    assert "--convention" in problems[0].message
    settled, problems = judge_cases(mixed, BRATS_2018)
    assert settled is not None
    assert [(p.kind, p.case) for p in problems] == [("unknown-labels", "Phantom_b")]


@pytest.mark.real_data
def test_real_cases_show_their_one_problem_and_no_other(real_data: Path) -> None:
    cases = find_cases(real_data / "brats-full")
    start = time.process_time()
    settled, problems = judge_cases([examine_case(case) for case in cases])
    seconds_per_case = (time.process_time() - start) / len(cases)
    (problem,) = problems
    assert (problem.case, problem.kind) == ("Brats18_2013_20_1", "partial-coverage")
    assert Path(problem.file).name == "Brats18_2013_20_1_flair.nii.gz"
    assert settled is not None
    assert settled.convention == BRATS_2018
    assert seconds_per_case < 10  # of processor time; a second where nothing else runs


@pytest.mark.real_data
@pytest.mark.parametrize("name", [name for name in BREAKAGES if name.startswith("exchanged")])
def test_exchange_is_found_in_real_cases(name: str, real_data: Path, tmp_path: Path) -> None:
    _, first, second = name.split("-")
    for case in find_cases(real_data / "brats-mini")[::8]:
        broken = break_case(case, tmp_path, case.name, BREAKAGES[name])
        messages = [p.message for p in check_case(broken) if p.kind == "exchanged-modalities"]
        assert messages == [f"{first} and {second} look exchanged"]
