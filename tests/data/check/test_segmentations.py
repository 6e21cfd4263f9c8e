"""What a data set's segmentations settle, and what they leave to be asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedbrats.data.check.segmentations import measure_labels, settle_convention, tumour_ml
from fedbrats.data.regions import BRATS_2018, BRATS_2023, BRATS_2024
from fedbrats.errors import DataError


def volumes(*values: int) -> dict[int, float]:
    return dict.fromkeys(values, 1.0)


def test_labels_of_all_cases_together_settle_the_convention() -> None:
    settled = settle_convention({"a": volumes(1, 2), "b": volumes(2, 4)})
    assert settled.convention == BRATS_2018
    assert settled.reason == "the labels seen are 1, 2, 4"
    assert not settled.is_assumed


def test_labels_win_over_names() -> None:
    assert settle_convention({"Brats18_CBICA_ABM_1": volumes(1, 2, 3)}).convention == BRATS_2023


def test_a_stray_label_does_not_unsettle_the_data_set() -> None:
    assert settle_convention({"a": volumes(1, 2, 4), "b": volumes(9)}).convention == BRATS_2018


def test_three_and_four_together_ask_for_a_choice() -> None:
    labels = {"a": volumes(1, 2, 4), "b": volumes(1, 2, 3), "c": volumes(3)}
    with pytest.raises(DataError, match=r"label 3 is in 2 and label 4 in 1 of 3 .*--convention"):
        settle_convention(labels)
    assert settle_convention(labels, BRATS_2024).convention == BRATS_2024


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Brats17_TCIA_131_1", BRATS_2018),
        ("BraTS20_Training_001", BRATS_2018),
        ("BraTS2021_00002", BRATS_2018),
        ("BraTS-GLI-00005-000", BRATS_2023),
    ],
)
def test_names_decide_only_where_no_case_enhances(name: str, expected: object) -> None:
    settled = settle_convention({name: volumes(1, 2)})
    assert settled.convention == expected
    assert settled.is_assumed


def test_nothing_is_guessed_from_other_names() -> None:
    with pytest.raises(DataError, match="the case names tell no year"):
        settle_convention({"patient-1": volumes(1, 2)})


def test_volumes_are_in_millilitres() -> None:
    labels = np.zeros((10, 10, 10), dtype=np.uint8)
    labels[:5, :5, :4], labels[5:, 5:, 5:7] = 2, 4
    found = measure_labels(labels, 0.02, Path("seg.nii.gz"))
    assert found == pytest.approx({2: 100 * 0.02, 4: 50 * 0.02})
    assert tumour_ml(found, BRATS_2018) == pytest.approx(3.0)
    assert tumour_ml(found, BRATS_2024) == pytest.approx(2.0)  # 4 is a cavity there


def test_interpolated_labels_are_refused() -> None:
    with pytest.raises(DataError, match=r"seg.nii.gz holds labels that are no whole numbers \(1.5\)"):
        measure_labels(np.full((3, 3, 3), 1.5, dtype=np.float32), 0.001, Path("seg.nii.gz"))
