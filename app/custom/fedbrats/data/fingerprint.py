"""What planning needs to know of a data set and its machine: a few rounded numbers, which may leave a hospital."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from fedbrats.data.box import box_of
from fedbrats.data.cases.case import Case
from fedbrats.data.cases.channels import file_of
from fedbrats.data.volumes import read_volume
from fedbrats.errors import DataError
from fedbrats.settings import Settings

FORMAT = "fedbrats fingerprint 1"
_WHOLE = 3  # cases whose brains are measured; of the others the header is read
_CASES, _BRAIN_MM = 5, 10.0  # what numbers of cases and sides of brains are rounded to
MOST_BYTES = 64 * 1024  # of a file; a fingerprint has some hundred


def _three(smallest: float, largest: float) -> Any:
    kind = f"three numbers from {smallest:g} to {largest:g}"
    return Field(min_length=3, max_length=3, json_schema_extra={"kind": kind})


_Edges = Annotated[list[Annotated[float, Field(ge=0.01, le=100)]], _three(0.01, 100)]
_Sides = Annotated[list[Annotated[float, Field(ge=0, le=1000)]], _three(0, 1000)]


class Fingerprint(Settings):
    """The scans of one site and what it computes with."""

    format: Literal["fedbrats fingerprint 1"] = "fedbrats fingerprint 1"
    """What this file is."""
    site: str = Field("site", min_length=1, max_length=100)
    """The name of the site."""
    cases: int = Field(ge=1, le=10**7)
    """Training cases, a multiple of 5 where it leaves the site."""
    validation: int = Field(0, ge=0, le=10**7)
    """Validation cases, likewise."""
    spacing_mm: _Edges
    """Median edges of a voxel in mm, right to left, front to back, bottom to top."""
    brain_mm: _Sides
    """Median sides of the box around a brain in mm, along the same axes."""
    cores: int = Field(ge=1, le=10**5)
    """CPU cores that training may use."""
    memory_gb: float = Field(ge=0, le=1e6)
    """Free memory."""
    gpu_gb: float | None = Field(None, ge=0, le=1e5)
    """Memory of the GPU; null without one."""
    gflops: float | None = Field(None, gt=0, le=1e9)
    """Measured speed of training, in 10^9 operations a second; null where nothing was measured."""

    def rounded(self) -> Fingerprint:
        """A copy that says less: what a site sends away."""
        return self.changed(
            cases=max(_CASES, self.cases // _CASES * _CASES),
            validation=self.validation // _CASES * _CASES,
            spacing_mm=[round(edge, 1) for edge in self.spacing_mm],
            brain_mm=[round(side / _BRAIN_MM) * _BRAIN_MM for side in self.brain_mm],
            memory_gb=float(round(self.memory_gb)),
            gpu_gb=None if self.gpu_gb is None else float(round(self.gpu_gb)),
            gflops=None if self.gflops is None else float(f"{self.gflops:.2g}"),
        )


def read_fingerprint(path: Path) -> Fingerprint | None:
    """The fingerprint that a file holds; None where it is something else.

    Raises: ConfigurationError for one that is not whole, or has a number that no scan and no machine has.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        return None
    return Fingerprint.read(document, str(path))


def measure_scans(cases: Sequence[Case]) -> tuple[list[float], list[float]]:
    """The median edges of a voxel, and the median sides of the box around a brain, both in mm, of these cases.

    Headers are read of all, voxels of a few. A case that cannot be read says nothing here.

    Raises: DataError where none can be read.
    """
    edges = [found for case in cases if (found := spacing_of(case)) is not None]
    brains: list[list[float]] = []
    for case in cases[:: max(1, len(cases) // _WHOLE)][:_WHOLE]:
        try:
            brains.append(_brain_of(case))
        except DataError:
            continue
    if not edges or not brains:
        raise DataError("no scan of these cases can be read; `fedbrats check` says why")
    return _median(edges), _median(brains)


def spacing_of(case: Case) -> list[float] | None:
    """The edges of a case's voxels in mm, right to left, front to back, bottom to top, by its header.

    None where it cannot be read: whoever reads the voxels will say why.
    """
    import nibabel

    for path in case.images.values():
        try:
            affine = nibabel.load(file_of(path)).affine
        except Exception:  # nibabel raises many kinds
            continue
        found = _along_axes(affine, np.linalg.norm(affine[:3, :3], axis=0))
        if all(np.isfinite(found)) and min(found) > 0:
            return found
    return None


def _brain_of(case: Case) -> list[float]:
    if not case.images:
        raise DataError(f"case {case.name} has no image")
    volume = read_volume(next(iter(case.images.values())))
    shown = volume.foreground != 0
    if volume.voxels.ndim != 3 or not shown.any():
        raise DataError(f"case {case.name} shows no brain")
    sides = [(side.stop - side.start) * edge for side, edge in zip(box_of(shown), volume.spacing_mm, strict=True)]
    return _along_axes(volume.affine, sides)


def _along_axes(affine: Any, values: Sequence[float]) -> list[float]:
    """Numbers that belong to the axes of an array, in the order of the axes of the patient."""
    order = np.abs(affine[:3, :3]).argmax(axis=0)
    found = [0.0, 0.0, 0.0]
    for value, axis in zip(values, order, strict=True):
        found[axis] = float(value)
    return found


def _median(rows: Sequence[Sequence[float]]) -> list[float]:
    return [round(float(value), 3) for value in np.median(np.array(rows), axis=0)]
