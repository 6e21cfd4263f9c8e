"""Bring volumes from one grid to another, axis by axis, as sparse products: exact, separable and anti-aliased.

Both grids start at the same edge of the scan; an output voxel j covers the inputs from j * step to (j + 1) * step, in
input voxels. Going coarser averages over that interval (1 mm to 2 mm is then the mean over blocks of 2 x 2 x 2), going
finer interpolates linearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def resample(volume: NDArray[np.float32], matrices: Sequence[csr_array]) -> NDArray[np.float32]:
    """Apply one matrix (out, in) to each of the last three axes: (..., x, y, z) -> (..., X, Y, Z)."""
    for axis, matrix in enumerate(matrices, start=-3):
        moved = np.moveaxis(volume, axis, 0)
        flat = matrix @ np.ascontiguousarray(moved).reshape(len(moved), -1)  # (in, rest) -> (out, rest)
        volume = np.moveaxis(flat.reshape(-1, *moved.shape[1:]), 0, axis)
    return np.ascontiguousarray(volume, dtype=np.float32)


def grid_matrix(step: float, input_range: tuple[int, int], output_range: tuple[int, int]) -> csr_array:
    """The matrix (out, in) from the input voxels of one range to the output voxels of another, `step` inputs each.

    Rows sum to one, so a constant stays constant up to the edge.
    """
    return (
        _mean_matrix(step, input_range, output_range) if step >= 1 else _linear_matrix(step, input_range, output_range)
    )


def _mean_matrix(step: float, input_range: tuple[int, int], output_range: tuple[int, int]) -> csr_array:
    starts = np.arange(*output_range)[:, None] * step
    voxels = np.arange(*input_range)[None, :]
    overlap = np.clip(np.minimum(starts + step, voxels + 1) - np.maximum(starts, voxels), 0, None)
    overlap[overlap < 1e-6] = 0  # what is left of rounding a step such as 240 / 128
    return _normalised(overlap)


def _linear_matrix(step: float, input_range: tuple[int, int], output_range: tuple[int, int]) -> csr_array:
    centres = (np.arange(*output_range) + 0.5) * step - 0.5
    centres = np.clip(centres, input_range[0], input_range[1] - 1)[:, None]
    return _normalised(np.clip(1 - np.abs(centres - np.arange(*input_range)[None, :]), 0, None))


def _normalised(weights: NDArray[np.float64]) -> csr_array:
    from scipy.sparse import csr_array  # commands that resample nothing import this module too

    return csr_array((weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)).astype(np.float32))
