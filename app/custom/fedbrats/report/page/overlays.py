"""A picture of a prediction on its scan: three planes through the tumour, contours of the regions and of the truth.

Each region is drawn where it shows best: whole tumour on FLAIR, core and enhancing tumour on T1ce. Pictures are in
radiological order: the patient's right is on the left.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from nibabel import orientations
from numpy.typing import NDArray

from fedbrats.data.box import box_of
from fedbrats.data.prepare.preparation import AXES
from fedbrats.data.regions import REGION_COLOURS, REGIONS
from fedbrats.data.volumes import read_volume
from fedbrats.model.metrics import score_case
from fedbrats.model.prediction import Prediction
from fedbrats.outside import show

# Modality, its label, the regions drawn on it; with a truth each region has a row, so that two colours are enough.
ROWS = (("flair", "FLAIR", ("WT",)), ("t1ce", "T1ce", ("TC", "ET")))
ROWS_WITH_TRUTH = (("flair", "WT on FLAIR", ("WT",)), ("t1ce", "TC on T1ce", ("TC",)), ("t1ce", "ET on T1ce", ("ET",)))
PREDICTED, TRUE = "#ffb300", "#4fc3f7"  # amber and light blue: apart for every kind of colour blindness
BACKGROUND, INK = "#0b0d10", "#e8eaed"
MARGIN_MM = 8.0
LEAST_SHARE = 0.1  # of the whole tumour; planes through a smaller region may show the tumour's edge only
WIDTH_INCHES = 7.2
DPI = 230  # a picture to judge by, 1656 pixels wide
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


def draw_overlay(prediction: Prediction, truth: NDArray[np.uint8] | None = None, model: str = "") -> bytes:
    """A PNG of `prediction`, with `truth`, uint8 (3, X, Y, Z) on the same grid, in another colour and dashed.

    model: what predicted, for the picture's title. Raises: DataError.
    """
    affine = prediction.scan.affine
    mask = _to_lps(prediction.mask, affine)
    expected = None if truth is None else _to_lps(truth, affine)
    rows = ROWS if expected is None else ROWS_WITH_TRUTH
    images = {name: _to_lps(read_volume(prediction.case.images[name]).voxels[None], affine)[0] for name, _, _ in rows}
    spacing = _lps_spacing(affine)
    box = _box_of_brain(np.stack(list(images.values())), spacing)
    mask = mask[(slice(None), *box)]
    expected = None if expected is None else expected[(slice(None), *box)]
    centre = centre_of_tumour(mask if expected is None or not expected.any() else expected)
    extents = [side * edge for side, edge in zip(mask.shape[1:], spacing, strict=True)]
    figure, axes = _new_figure(extents, len(rows))
    for row, (name, label, regions) in enumerate(rows):
        image = images[name][box]
        low, high = np.percentile(image[image != 0], _PERCENTILES) if image.any() else (0, 1)
        for column, plane in enumerate(PLANES):
            axis: Axes = axes[row][column]
            index = centre[plane.axis]
            _show(axis, plane.cut(image, index), (float(low), float(high)), *_edges(plane, spacing), max(extents[1:]))
            for channel in map(REGIONS.index, regions):
                if expected is None:
                    _draw_contour(axis, plane.cut(mask[channel], index), REGION_COLOURS[REGIONS[channel]], "solid")
                else:
                    _draw_contour(axis, plane.cut(expected[channel], index), TRUE, "dashed")
                    _draw_contour(axis, plane.cut(mask[channel], index), PREDICTED, "solid")
            _letter(axis, plane)
            if not column:
                axis.set_ylabel(label, color=INK, fontsize=9)
            if not row:
                axis.set_title(plane.name, color=INK, fontsize=9)
    _add_title(figure, prediction, model)
    _add_legend(figure, prediction, truth)
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
    return box_of((images != 0).any(axis=0), [round(MARGIN_MM / edge) for edge in spacing])


def centre_of_tumour(mask: NDArray[np.generic]) -> list[int]:
    """For each axis, the slice with most of the innermost region that is not tiny; the middle where there is none."""
    least = max(1.0, LEAST_SHARE * np.count_nonzero(mask[0]))
    region = next((channel for channel in reversed(mask) if np.count_nonzero(channel) >= least), None)
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


def _new_figure(extents: list[float], rows: int) -> tuple[Figure, NDArray[np.object_]]:
    """Rows of three pictures, as wide and high in proportion as what they show (extents are along L, P and S)."""
    widths = [extents[0], extents[0], extents[1]]
    height = max(extents[1], extents[2])
    inches = WIDTH_INCHES / sum(widths)
    figure = Figure(figsize=(WIDTH_INCHES, rows * height * inches + 0.9), facecolor=BACKGROUND, layout="constrained")
    axes = figure.subplots(rows, 3, gridspec_kw={"width_ratios": widths})
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


def _add_title(figure: Figure, prediction: Prediction, model: str) -> None:
    text = prediction.case.name + (f", predicted by {model}" if model else "")
    figure.suptitle(show(text, 110), color=INK, fontsize=9)


def _add_legend(figure: Figure, prediction: Prediction, truth: NDArray[np.uint8] | None) -> None:
    """What the colours are, with the volumes of both and the Dice where there is a truth."""
    volumes = prediction.volumes_ml
    if truth is None:
        lines = [
            Line2D([], [], color=colour, label=f"{name} {volumes[name]:.1f} mL")
            for name, colour in REGION_COLOURS.items()
        ]
    else:
        voxel_ml = math.prod(prediction.spacing_mm) / 1000
        true = {name: np.count_nonzero(region) * voxel_ml for name, region in zip(REGIONS, truth, strict=True)}
        dice = score_case(prediction.case.name, "", prediction.mask, truth).dice
        lines = [
            Line2D([], [], color=PREDICTED, label=f"prediction: {_listed(volumes, '.1f')} mL"),
            Line2D([], [], color=TRUE, linestyle="dashed", label=f"truth: {_listed(true, '.1f')} mL"),
            Line2D([], [], color="none", label=f"Dice: {_listed(dice, '.2f')}"),
        ]
    columns = len(lines) if truth is None else 1
    figure.legend(
        handles=lines,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        labelcolor=INK,
        fontsize=8,
        handlelength=1.8,
    )


def _listed(values: Mapping[str, float], form: str) -> str:
    return ", ".join(f"{name} {values[name]:{form}}" for name in REGIONS)
