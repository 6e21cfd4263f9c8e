"""Write predictions as NIfTI files: on the grid of the case's scans, with a header of their own."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray

from fedbrats.atomic import write_bytes_atomic
from fedbrats.data.regions import REGIONS, LabelConvention, regions_to_labels
from fedbrats.data.written import make_image
from fedbrats.model.prediction import Prediction


def write_label_map(prediction: Prediction, convention: LabelConvention, out: Path) -> Path:
    """Write `out/CASE_prediction.nii.gz`, uint8, its label values as the convention has them; returns the path."""
    path = out / f"{prediction.case.name}_prediction.nii.gz"
    _write_like(path, regions_to_labels(prediction.mask, convention), prediction.scan)
    return path


def write_probability_maps(prediction: Prediction, out: Path) -> None:
    """Write `out/CASE_probability_WT.nii.gz` and so on, float32."""
    for region, values in zip(REGIONS, prediction.probabilities, strict=True):
        path = out / f"{prediction.case.name}_probability_{region}.nii.gz"
        _write_like(path, values.astype(np.float32), prediction.scan)


def _write_like(path: Path, voxels: NDArray[np.generic], scan: Nifti1Image) -> None:
    content = make_image(voxels, scan).to_bytes()
    write_bytes_atomic(path, lambda stream: stream.write(gzip.compress(content, compresslevel=6, mtime=0)))
