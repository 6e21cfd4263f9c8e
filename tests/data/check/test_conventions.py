"""Names, values and anatomy settle a convention together, and leave it to be asked where one of them objects."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from fedbrats.data.cases.case import Case, find_cases
from fedbrats.data.check.anatomy import Anatomy, LabelLook, measure_anatomy
from fedbrats.data.check.checks import examine_case
from fedbrats.data.check.conventions import FAMILIES, convention_of_names, settle_convention
from fedbrats.data.check.survey import judge_cases
from fedbrats.data.regions import (
    BRATS_2015,
    BRATS_2018,
    BRATS_2023,
    BRATS_2024,
    BRATS_PED_2024,
    CONVENTIONS,
    COVERAGE,
    DECATHLON,
    LabelConvention,
)
from fedbrats.errors import DataError
from tests.data.broken import add_noise, copy_case, rewrite


def volumes(*values: int) -> dict[int, float]:
    return dict.fromkeys(values, 1.0)


def named(pattern: str, *values: int, count: int = 2) -> dict[str, dict[int, float]]:
    return {pattern.format(number): volumes(*values) for number in range(1, count + 1)}


def anatomy_of(convention: LabelConvention, values: Iterable[int]) -> Anatomy:
    """What labels look like that follow a convention."""
    looks = {convention.oedema: LabelLook(20, 0.8, 0.5), convention.enhancing: LabelLook(9, 0.2, 0.97)}
    looks |= dict.fromkeys((*convention.core, *convention.outside), LabelLook(7, 0.1, 0.2))
    return {value: looks[value] for value in values}


OLD, NEW, PED = "Brats18_CBICA_A{}_1", "BraTS-GLI-0000{}-000", "BraTS-PED-0000{}-000"
AGREED = [
    (OLD, (1, 2, 4), BRATS_2018),
    ("BraTS2021_0000{}", (2, 4), BRATS_2018),
    ("UPENN-GBM-0000{}_11", (1, 2, 4), BRATS_2018),
    ("UCSF-PDGM-000{}", (1, 2, 4), BRATS_2018),
    ("brats_2015_pat000{}_1", (1, 2, 3, 4), BRATS_2015),
    (NEW, (1, 2, 3), BRATS_2023),
    ("BraTS-MEN-0000{}-000", (1, 2, 3), BRATS_2023),
    ("BraTS-SSA-0000{}-000", (1, 2, 3), BRATS_2023),
    ("BraTS-GLI-0200{}-100", (1, 2, 3, 4), BRATS_2024),
    ("BraTS-MET-0000{}-000", (2, 3, 4), BRATS_2024),
    (PED, (1, 2, 3, 4), BRATS_PED_2024),
    ("BRATS_00{}", (1, 2, 3), DECATHLON),
    ("patient-{}", (1, 2, 4), BRATS_2018),
    ("patient-{}", (1, 2, 3), BRATS_2023),
    ("patient-{}", (3,), BRATS_2023),
]


@pytest.mark.parametrize(("pattern", "values", "convention"), AGREED)
def test_names_values_and_anatomy_that_agree_settle_it(pattern, values, convention) -> None:
    settled = settle_convention(named(pattern, *values), anatomies=[anatomy_of(convention, values)] * 2)
    assert settled.convention == convention
    assert settled.reason == f"the labels seen are {', '.join(map(str, values))}"
    assert bool(settled.doubt) == (convention is DECATHLON)  # others exchange 1 and 2


@pytest.mark.parametrize(
    ("pattern", "values", "words"),
    [
        (NEW, (1, 2, 4), "BraTS 2023 and later.*names and labels do not settle"),
        ("BraTS-GLI-0200{}-100", (1, 2, 4), "BraTS 2023 and later, which has brats-2023 .* or brats-2024"),
        (OLD, (1, 2, 3), "BraTS 2017 to 2021, which has brats-2018"),
        ("BRATS_00{}", (1, 2, 4), "Decathlon, which has decathlon"),
        (PED, (1, 2, 3), "BraTS-PED, which has brats-2023 .* or brats-ped-2024"),
        ("BraTS-MEN-RT-000{}-1", (1,), "BraTS-MEN-RT, whose one label .* no convention of tumour regions"),
        ("patient-{}", (1, 2), "the case names tell no year"),
        ("patient-{}", (1, 2, 3, 4), "label 3 is in 2 .* label 4 in 2 .* several conventions or a mixture"),
    ],
)
def test_names_against_values_ask_for_a_choice(pattern: str, values: tuple[int, ...], words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        settle_convention(named(pattern, *values))
    assert "--convention brats-2015|brats-2018" in str(caught.value)
    assert settle_convention(named(pattern, *values), BRATS_2024).convention == BRATS_2024


@pytest.mark.parametrize(
    ("pattern", "convention", "values", "words"),
    [
        ("patient-{}", DECATHLON, (1, 2, 3), "label 1 lies around label 2.*this is how decathlon"),
        (NEW, DECATHLON, (1, 2, 3), "label 1 lies around label 2.*this is how decathlon"),
        ("BRATS_00{}", BRATS_2023, (1, 2, 3), "label 2 lies around label 1"),
        ("patient-{}", BRATS_PED_2024, (1, 2, 4), "label 4 is not the brightest on T1ce"),
        (OLD, BRATS_2024, (1, 2, 4), "label 4 is not the brightest on T1ce"),
    ],
)
def test_anatomy_against_names_and_values_asks_for_a_choice(pattern, convention, values, words) -> None:
    with pytest.raises(DataError, match=words):
        settle_convention(named(pattern, *values), anatomies=[anatomy_of(convention, values)] * 2)


def test_one_odd_case_does_not_outvote_the_others() -> None:
    anatomies = [*[anatomy_of(BRATS_2018, (1, 2, 4))] * 2, {1: LabelLook(9, 0.9, 0.9), 2: LabelLook(9, 0.1, 0.1)}]
    assert settle_convention(named(OLD, 1, 2, 4, count=3), anatomies=anatomies).convention == BRATS_2018


def test_the_case_that_is_alone_with_a_label_is_named() -> None:
    labels = {**named("p{}", 1, 2, 4, count=16), "odd": volumes(1, 2, 3)}
    with pytest.raises(DataError, match=r"label 3 is in 1 \(odd\) and label 4 in 16 of 17 segmentations"):
        settle_convention(labels)


def test_a_stray_label_does_not_unsettle_the_data_set() -> None:
    assert settle_convention({"a": volumes(1, 2, 4), "b": volumes(9)}).convention == BRATS_2018


@pytest.mark.parametrize(
    ("pattern", "expected"), [(OLD, BRATS_2018), ("BraTS20_Training_00{}", BRATS_2018), (NEW, BRATS_2023)]
)
def test_names_decide_only_where_no_case_enhances(pattern: str, expected: LabelConvention) -> None:
    settled = settle_convention(named(pattern, 1, 2))
    assert settled.convention == expected
    assert "is assumed" in settled.doubt


def test_cases_without_labels_follow_their_data_set() -> None:
    for pattern, _, convention in AGREED:
        if not pattern.startswith("BraTS-PED"):
            expected = BRATS_2023 if convention is BRATS_2024 else None if pattern == "patient-{}" else convention
            assert convention_of_names([pattern.format(1)]) == expected
    with pytest.raises(DataError, match="BraTS-PED, which leaves"):
        convention_of_names([PED.format(1)])
    assert convention_of_names([OLD.format(1), NEW.format(1)]) is None


def test_every_convention_says_what_it_covers_and_belongs_to_a_data_set() -> None:
    assert COVERAGE.keys() == CONVENTIONS.keys()
    assert {c for family in FAMILIES for c in family.conventions} == set(CONVENTIONS.values())


def test_contact_and_brightness_are_measured() -> None:
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[5:15, 5:15, 5:15], labels[7:13, 7:13, 7:13] = 2, 1
    t1ce = np.ones((20, 20, 20)) + labels
    looks = measure_anatomy(labels, t1ce, 0.01)
    assert looks[1].contact == 0
    assert looks[2].contact == pytest.approx(600 / (600 + 216))
    assert looks[2].brightness > looks[1].brightness
    assert looks[1].ml == pytest.approx(2.16)
    assert measure_anatomy(np.zeros_like(labels), t1ce, 0.01) == {}


def relabelled(sound: list[Case], folder: Path, pattern: str, table: dict[int, int]) -> list[Case]:
    """Phantoms under other names and with other labels."""
    cases = []
    for number, case in enumerate(sound, start=1):
        copied = copy_case(case, folder, pattern.format(number))
        add_noise(copied, number)
        rewrite(copied, "seg", lambda v: np.choose(v.astype(int), [table.get(k, k) for k in range(5)]))
        cases.append(copied)
    return cases


@pytest.mark.parametrize(
    ("pattern", "table", "kinds", "convention"),
    [
        ("BRATS_01{}", {1: 2, 2: 1, 4: 3}, ["assumed-convention"], "decathlon"),
        ("hospital-{}", {1: 2, 2: 1, 4: 3}, ["unsettled-convention"], None),
        ("hospital-{}", {4: 3}, [], "brats-2023"),
        ("BraTS-GLI-0300{}-101", {}, ["unsettled-convention"], None),
        ("BraTS-MET-0000{}-000", {4: 3}, [], "brats-2023"),
        ("BraTS-PED-0000{}-000", {4: 1, 1: 2, 2: 4}, [], "brats-ped-2024"),
        ("BraTS20_Training_00{}", {1: 2, 2: 1}, ["unsettled-convention"], None),
    ],
)
def test_phantoms_under_other_names_and_labels(
    phantom_sites: Path, tmp_path: Path, pattern: str, table: dict[int, int], kinds: list[str], convention: str | None
) -> None:
    cases = relabelled(find_cases(phantom_sites / "site-1")[:3], tmp_path, pattern, table)
    settled, problems = judge_cases([examine_case(case) for case in cases])
    assert [problem.kind for problem in problems] == kinds
    assert (settled.convention.name if settled else None) == convention


@pytest.mark.real_data
@pytest.mark.parametrize("data", ["brats-full", "brats-mini", "brats-outside"])
def test_real_cases_agree_with_their_convention(real_data: Path, data: str) -> None:
    examinations = [examine_case(case) for case in find_cases(real_data / data)[::4]]
    settled, problems = judge_cases(examinations)
    assert settled is not None
    assert settled.convention == BRATS_2018
    assert {problem.kind for problem in problems} <= {"partial-coverage"}
