"""From a case's files to the arrays that training reads: oriented, cropped to the brain, resampled, normalised."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel import orientations
from numpy.typing import NDArray

from fedbrats.data.box import box_of
from fedbrats.data.cases.case import MODALITIES, Case
from fedbrats.data.placement import UNPLACED, Grid
from fedbrats.data.prepare.resampling import grid_matrix, resample
from fedbrats.data.prepare.room import NO_LIMITS, PreparationLimits
from fedbrats.data.prepare.settings import CacheSettings
from fedbrats.data.regions import LabelConvention, labels_to_regions
from fedbrats.data.volumes import Volume, read_volume
from fedbrats.errors import DataError

AXES = "LPS"  # voxel order of every prepared array, which is how BraTS ships its files
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
Step = tuple[float, float, float]
_AS_IT_IS = ((0, 1), (1, 1), (2, 1))


@dataclass(frozen=True)
class Geometry:
    """Where a prepared array lies in its scan: all that brings a prediction back to the scan's own grid.

    affine: 4 x 4, scan voxels to mm. scan_shape: of the scan as stored. step: scan voxels a prepared voxel spans, per
    axis, after orientation to LPS. box: the prepared voxels kept, on the grid of the whole oriented scan.
    """

    affine: tuple[tuple[float, ...], ...]
    scan_shape: tuple[int, int, int]
    step: Step
    box: Box

    @property
    def to_lps(self) -> NDArray[np.float64]:
        """The nibabel orientation transform from the scan's voxel order to LPS."""
        return orientations.ornt_transform(
            orientations.io_orientation(np.array(self.affine)), orientations.axcodes2ornt(AXES)
        )

    @property
    def lps_shape(self) -> tuple[int, ...]:
        """The scan's shape after orientation to LPS."""
        shape = [0, 0, 0]
        for axis, (target, _) in enumerate(self.to_lps):
            shape[int(target)] = self.scan_shape[axis]
        return tuple(shape)

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """The prepared array's voxel size per axis (LPS)."""
        sizes = np.empty(3)
        sizes[self.to_lps[:, 0].astype(int)] = np.linalg.norm(np.array(self.affine)[:3, :3], axis=0)
        return tuple(float(size * step) for size, step in zip(sizes, self.step, strict=True))

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Geometry:
        """From JSON."""
        return cls(
            tuple(tuple(row) for row in document["affine"]),
            tuple(document["scan_shape"]),
            tuple(document["step"]),
            tuple(tuple(side) for side in document["box"]),  # type: ignore[arg-type]
        )


@dataclass(frozen=True)
class PreparedCase:
    """image: float16 (4, X, Y, Z); mask: uint8 (3, X, Y, Z), or None for a case without segmentation."""

    image: NDArray[np.float16]
    mask: NDArray[np.uint8] | None
    geometry: Geometry


def prepare(
    case: Case, convention: LabelConvention, settings: CacheSettings, limits: PreparationLimits = NO_LIMITS
) -> PreparedCase:
    """Read and prepare one case.

    Raises: DataError naming the case and the file that cannot be used; ConfigurationError where it would be too large.
    """
    limits.check_voxels(settings.shape or ())
    images, affine = _read_images(case)
    labels = None if case.label is None else read_labels(case, Grid(images[0].shape, affine))
    whole = Geometry(_as_tuples(affine), images[0].shape, (1.0, 1.0, 1.0), _full_box(images[0].shape))
    images = [_reorient(image, whole.to_lps) for image in images]
    shown = images if labels is None else [*images, labels := _reorient(labels, whole.to_lps)]
    shape = images[0].shape
    step = _steps(shape, whole.spacing_mm, settings)
    box = _on_grid(_box_of_brain(shown) if settings.shape is None else _full_box(shape), step)
    limits.check_voxels(stop - start for start, stop in box)
    geometry = Geometry(whole.affine, whole.scan_shape, step, box)
    # Cropping first keeps the memory of a full-size case to what its brain takes.
    kept, matrices = _source_of(box, step, shape)
    prepared = [_normalise(_resample(image[kept].astype(np.float32), matrices), settings) for image in images]
    mask = None if labels is None else _resample_regions(regions_of(case, labels[kept], convention), matrices)
    return PreparedCase(_as_stored(case, prepared), mask, geometry)


def read_labels(case: Case, images: Grid) -> NDArray[Any]:
    """The labels (X, Y, Z) of a case that has a segmentation.

    images: where the case's images lie. Raises: DataError naming the case, if the segmentation does not lie there too.
    """
    assert case.label is not None
    labels = _read_volume(case, case.label)
    if labels.is_predicted:
        raise DataError(f"case {case.name}: {case.label.name} is a prediction of fedbrats, and no truth")
    if gap := images.gap(labels.grid):
        raise DataError(f"case {case.name}: {case.label.name}: {gap}; a segmentation must lie on its images' grid")
    return labels.labels


def regions_of(case: Case, labels: NDArray[Any], convention: LabelConvention) -> NDArray[np.uint8]:
    """The regions, uint8 (3, X, Y, Z), of a case's labels. Raises: DataError naming the case, for an unknown label."""
    assert case.label is not None
    try:
        return labels_to_regions(labels, convention)
    except DataError as error:
        raise DataError(f"case {case.name}: {case.label.name}: {error}") from None


def restore_probabilities(probabilities: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
    """Bring probabilities (3, X, Y, Z) of a prepared case back to its scan's own grid; 0 outside the prepared box."""
    oriented = np.zeros((len(probabilities), *geometry.lps_shape), np.float32)
    kept, matrices = _source_of(geometry.box, geometry.step, geometry.lps_shape)
    if matrices is not None:
        back = [
            grid_matrix(1 / step, side, (where.start, where.stop))
            for step, side, where in zip(geometry.step, geometry.box, kept, strict=True)
        ]
        probabilities = resample(probabilities, back)
    else:
        probabilities = probabilities[(slice(None), *(slice(0, w.stop - w.start) for w in kept))]
    oriented[(slice(None), *kept)] = probabilities
    from_lps = orientations.ornt_transform(
        orientations.axcodes2ornt(AXES), orientations.io_orientation(np.array(geometry.affine))
    )
    return np.stack([_reorient(region, from_lps) for region in oriented])


def _read_images(case: Case) -> tuple[list[NDArray[Any]], NDArray[np.float64]]:
    volumes: list[Volume] = []
    for modality, path in zip(MODALITIES, case.image_paths, strict=True):
        volume = _read_volume(case, path)
        volumes.append(volume)
        if gap := volumes[0].grid.gap(volume.grid):
            raise DataError(f"case {case.name}: {path.name}: {gap}; the images of a case must lie on one grid")
        if (volume.voxels == volume.voxels.flat[0]).all():
            raise DataError(f"case {case.name}: {path.name} ({modality}) is empty: every voxel is the same")
    return [volume.foreground for volume in volumes], volumes[0].affine


def _read_volume(case: Case, path: Path) -> Volume:
    try:
        volume = read_volume(path)
    except DataError as error:
        raise DataError(f"case {case.name}: {error}") from None
    voxels = volume.voxels
    if voxels.ndim != 3 or min(voxels.shape) < 2:
        raise DataError(f"case {case.name}: {path.name} has the shape {voxels.shape}, expected a 3D volume")
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        raise DataError(f"case {case.name}: {path.name} holds NaN or infinite values")
    if not volume.is_placed:
        raise DataError(f"case {case.name}: {path.name} {UNPLACED}")
    return volume


def _as_stored(case: Case, images: list[NDArray[np.float32]]) -> NDArray[np.float16]:
    """float16 (4, X, Y, Z). Raises: DataError where intensities are so far apart that they do not fit in."""
    with np.errstate(over="ignore"):
        stored = np.stack(images).astype(np.float16)
    for modality, image in zip(MODALITIES, stored, strict=True):
        if not np.isfinite(image).all():
            raise DataError(
                f"case {case.name}: {case.images[modality].name} holds intensities that cannot be normalised; "
                f"are there a few absurdly bright voxels in it?"
            )
    return stored


def _reorient(volume: NDArray[Any], transform: NDArray[np.float64]) -> NDArray[Any]:
    """Apply a nibabel orientation transform to a volume (X, Y, Z)."""
    return volume if np.array_equal(transform, _AS_IT_IS) else orientations.apply_orientation(volume, transform)


def _as_tuples(affine: NDArray[np.float64]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in affine.tolist())


def _full_box(shape: tuple[int, ...]) -> Box:
    return tuple((0, n) for n in shape)  # type: ignore[return-value]


def _box_of_brain(volumes: Sequence[NDArray[Any]]) -> Box:
    """The box of every voxel that any of the volumes shows; 0 is what skull-stripping leaves."""
    shown = np.logical_or.reduce([volume != 0 for volume in volumes])
    return tuple((side.start, side.stop) for side in box_of(shown))  # type: ignore[return-value]


def _on_grid(box: Box, step: Step) -> Box:
    """The prepared voxels that hold all of a box of scan voxels."""
    return tuple((math.floor(a / s), math.ceil(b / s - 1e-6)) for (a, b), s in zip(box, step, strict=True))  # type: ignore[return-value]


def _steps(
    shape: tuple[int, ...], spacing_mm: tuple[float, ...], settings: CacheSettings
) -> tuple[float, float, float]:
    """How many scan voxels one prepared voxel spans along each axis; near enough to 1 is 1, which copies exactly."""
    if settings.shape is not None:
        steps = [n / target for n, target in zip(shape, settings.shape, strict=True)]
    elif (voxel_mm := settings.voxel_mm(spacing_mm)) is not None:
        steps = [voxel_mm / size for size in spacing_mm]
    else:
        steps = [1.0, 1.0, 1.0]
    return tuple(1.0 if abs(step - 1) < 0.01 else float(step) for step in steps)  # type: ignore[return-value]


def _source_of(box: Box, step: Step, shape: tuple[int, ...]) -> tuple[tuple[slice, ...], list[Any] | None]:
    """The scan voxels under a box of prepared voxels, and the matrices between them; None where the grids are one."""
    kept = tuple(
        slice(max(0, int(np.floor(a * s + 1e-6))), min(n, int(np.ceil(b * s - 1e-6))))
        for (a, b), s, n in zip(box, step, shape, strict=True)
    )
    if all(s == 1 for s in step):
        return kept, None
    return kept, [
        grid_matrix(s, (where.start, where.stop), side) for s, where, side in zip(step, kept, box, strict=True)
    ]


def _resample(volume: NDArray[np.float32], matrices: list[Any] | None) -> NDArray[np.float32]:
    return volume if matrices is None else resample(volume, matrices)


def _resample_regions(regions: NDArray[np.uint8], matrices: list[Any] | None) -> NDArray[np.uint8]:
    """Resample nested masks by majority vote between background, oedema, core and enhancing tumour."""
    if matrices is None:
        return regions
    whole, core, enhancing = resample(regions.astype(np.float32), matrices)
    winner = np.argmax(np.stack([1 - whole, whole - core, core - enhancing, enhancing]), axis=0)
    return np.stack([winner >= depth for depth in (1, 2, 3)]).astype(np.uint8)


def _normalise(volume: NDArray[np.float32], settings: CacheSettings) -> NDArray[np.float32]:
    """Normalise one modality (X, Y, Z); the brain is where it is not 0."""
    if settings.normalisation == "minmax":
        low, high = float(volume.min()), float(volume.max())
        return (volume - low) / max(high - low, 1e-6)
    brain = volume != 0
    values = volume[brain]
    mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
    return np.where(brain, (volume - mean) / max(deviation, 1e-6), 0).astype(np.float32)
