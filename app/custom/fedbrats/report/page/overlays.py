"""A picture of a prediction on its scan: three planes through the tumour, contours of the regions and of the truth.

Each region is drawn where it shows best: whole tumour on FLAIR, core and enhancing tumour on T1ce. Pictures are in
radiological order: the patient's right is on the left.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from nibabel import orientations
from numpy.typing import NDArray

from fedbrats.data.prepare.preparation import AXES
from fedbrats.data.regions import REGION_COLOURS, REGIONS
from fedbrats.data.volumes import read_volume
from fedbrats.model.prediction import Prediction

ROWS = (("flair", "FLAIR", ("WT",)), ("t1ce", "T1ce", ("TC", "ET")))  # modality, its label, the regions drawn on it
BACKGROUND, INK = "#0b0d10", "#e8eaed"
MARGIN_MM = 8.0
WIDTH_INCHES, DPI = 7.2, 110
_PERCENTILES = (1.0, 99.5)  # of the brain, from black to white


@dataclass(frozen=True)
class Plane:
    """A way to cut a volume whose axes are LPS: across `axis`; the letters stand at the picture's left and right."""

    name: str
    axis: int
    left: str
    right: str

    def cut(self, volume: NDArray[np.generic], index: int) -> NDArray[np.generic]:
        """The slice as a picture (rows, columns), seen from the feet, from the front, or from the patient's left."""
        picture = np.take(volume, index, axis=self.axis).T
        return picture if self.name == "axial" else picture[::-1]  # LPS counts from the feet up, pictures from the top


PLANES = (Plane("axial", 2, "R", "L"), Plane("coronal", 1, "R", "L"), Plane("sagittal", 0, "A", "P"))


def draw_overlay(prediction: Prediction, truth: NDArray[np.uint8] | None = None) -> bytes:
    """A PNG of `prediction`, with `truth`, uint8 (3, X, Y, Z) on the same grid, dashed. Raises: DataError."""
    affine = prediction.scan.affine
    mask = _to_lps(prediction.mask, affine)
    expected = None if truth is None else _to_lps(truth, affine)
    images = {name: _to_lps(read_volume(prediction.case.images[name]).voxels[None], affine)[0] for name, _, _ in ROWS}
    spacing = _lps_spacing(affine)
    box = _box_of_brain(np.stack(list(images.values())), spacing)
    mask = mask[(slice(None), *box)]
    expected = None if expected is None else expected[(slice(None), *box)]
    centre = _centre_of_tumour(mask if expected is None or not expected.any() else expected)
    extents = [side * edge for side, edge in zip(mask.shape[1:], spacing, strict=True)]
    figure, axes = _new_figure(extents)
    for row, (name, label, regions) in enumerate(ROWS):
        image = images[name][box]
        low, high = np.percentile(image[image != 0], _PERCENTILES) if image.any() else (0, 1)
        for column, plane in enumerate(PLANES):
            axis: Axes = axes[row][column]
            index = centre[plane.axis]
            _show(axis, plane.cut(image, index), (float(low), float(high)), *_edges(plane, spacing), max(extents[1:]))
            for region in regions:
                channel = REGIONS.index(region)
                _draw_contour(axis, plane.cut(mask[channel], index), REGION_COLOURS[region], "solid")
                if expected is not None:
                    _draw_contour(axis, plane.cut(expected[channel], index), REGION_COLOURS[region], "dashed")
            _letter(axis, plane)
            if not column:
                axis.set_ylabel(label, color=INK, fontsize=9)
            if not row:
                axis.set_title(plane.name, color=INK, fontsize=9)
    _add_legend(figure, prediction, with_truth=expected is not None)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, facecolor=BACKGROUND, metadata={"Software": None})
    return stream.getvalue()


def _to_lps(volumes: NDArray[np.generic], affine: NDArray[np.float64]) -> NDArray[np.generic]:
    """Volumes (C, X, Y, Z) in the order left, posterior, superior."""
    transform = orientations.ornt_transform(orientations.io_orientation(affine), orientations.axcodes2ornt(AXES))
    return np.stack([orientations.apply_orientation(np.squeeze(volume), transform) for volume in volumes])


def _lps_spacing(affine: NDArray[np.float64]) -> list[float]:
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    order = np.argsort(
        orientations.ornt_transform(orientations.io_orientation(affine), orientations.axcodes2ornt(AXES))[:, 0]
    )
    return [float(edges[axis]) for axis in order]


def _box_of_brain(images: NDArray[np.generic], spacing: list[float]) -> tuple[slice, ...]:
    shown = (images != 0).any(axis=0)
    box = []
    for axis, edge in enumerate(spacing):
        found = np.flatnonzero(shown.any(axis=tuple(a for a in range(3) if a != axis)))
        margin = round(MARGIN_MM / edge)
        box.append(slice(max(0, int(found[0]) - margin), int(found[-1]) + 1 + margin))
    return tuple(box)


def _centre_of_tumour(mask: NDArray[np.generic]) -> list[int]:
    """For each axis, the slice with most of the innermost region that is there; the middle where there is none."""
    region = next((channel for channel in reversed(mask) if channel.any()), None)
    if region is None:
        return [side // 2 for side in mask.shape[1:]]
    areas = (np.count_nonzero(region, axis=tuple(a for a in range(3) if a != axis)) for axis in range(3))
    return [int(np.argmax(area)) for area in areas]


def _edges(plane: Plane, spacing: list[float]) -> tuple[float, float]:
    """The width and the height of a voxel in a picture, in mm."""
    across, down = (edge for axis, edge in enumerate(spacing) if axis != plane.axis)
    return across, down


def _show(
    axis: Axes, picture: NDArray[np.generic], window: tuple[float, float], across: float, down: float, height_mm: float
) -> None:
    """Draw a grey picture in true proportions, in the middle of a field of this height: one row's fields are alike."""
    low, high = window
    axis.imshow(picture, cmap="gray", vmin=low, vmax=high, aspect=down / across, interpolation="none")
    rows = len(picture)
    margin = (height_mm / down - rows) / 2
    axis.set_ylim(rows - 0.5 + margin, -0.5 - margin)


def _new_figure(extents: list[float]) -> tuple[Figure, NDArray[np.object_]]:
    """Six pictures, as wide and high in proportion as what they show (extents are along L, P and S)."""
    widths = [extents[0], extents[0], extents[1]]
    height = max(extents[1], extents[2])
    inches = WIDTH_INCHES / sum(widths)
    figure = Figure(figsize=(WIDTH_INCHES, 2 * height * inches + 0.5), facecolor=BACKGROUND, layout="constrained")
    axes = figure.subplots(2, 3, gridspec_kw={"width_ratios": widths})
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[], facecolor="black")
        axis.spines[:].set_visible(False)
    return figure, axes


def _draw_contour(axis: Axes, region: NDArray[np.generic], colour: str, style: str) -> None:
    """The outline of a slice of a region, between voxels that are in it and voxels that are not."""
    if not region.any():
        return
    padded = np.pad(region.astype(float), 1)  # closed at the picture's edge too
    rows, columns = (np.arange(-1, n + 1) for n in region.shape)
    axis.contour(columns, rows, padded, levels=[0.5], colors=[colour], linewidths=1.2, linestyles=style)


def _letter(axis: Axes, plane: Plane) -> None:
    for x, letter, side in ((0.02, plane.left, "left"), (0.98, plane.right, "right")):
        axis.text(x, 0.5, letter, transform=axis.transAxes, color=INK, fontsize=7, ha=side, va="center")


def _add_legend(figure: Figure, prediction: Prediction, with_truth: bool) -> None:
    volumes = prediction.volumes_ml
    lines = [
        Line2D([], [], color=colour, label=f"{name} {volumes[name]:.1f} mL") for name, colour in REGION_COLOURS.items()
    ]
    if with_truth:
        lines.append(Line2D([], [], color=INK, linestyle="dashed", label="dashed: the truth"))
    figure.legend(
        handles=lines, loc="outside lower center", ncols=4, frameon=False, labelcolor=INK, fontsize=8, handlelength=1.6
    )
