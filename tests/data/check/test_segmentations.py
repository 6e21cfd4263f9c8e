"""Label values and volumes of a segmentation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedbrats.data.check.segmentations import measure_labels, tumour_ml
from fedbrats.data.regions import BRATS_2018, BRATS_2024
from fedbrats.errors import DataError


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
