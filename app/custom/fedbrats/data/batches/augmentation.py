"""Random changes to a training patch: drawn first, as plain numbers, then applied."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedbrats.data.batches.settings import Augmentation


def augment(
    image: NDArray[np.float32], mask: NDArray[np.float32], settings: Augmentation, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A changed image (4, x, y, z) and mask (3, x, y, z); the image may be changed in place."""
    if (settings.rotation_degrees or settings.scaling) and rng.random() < settings.spatial_share:
        image, mask = _transform(image, mask, _draw_matrix(settings, rng))
    if settings.flips:
        axes = tuple(int(a) for a in np.flatnonzero(rng.random(3) < 0.5) + 1)
        image, mask = np.flip(image, axes), np.flip(mask, axes)
    if settings.intensity:
        gain = 1 + rng.uniform(-settings.intensity, settings.intensity, (4, 1, 1, 1)).astype(np.float32)
        shift = rng.uniform(-settings.intensity, settings.intensity, (4, 1, 1, 1)).astype(np.float32)
        image = (image * gain + shift) * (image != 0)  # the background, 0, tells nothing about a scanner
    if settings.noise and rng.random() < 1 / 3:
        image = image + rng.uniform(0, settings.noise) * rng.standard_normal(image.shape, dtype=np.float32)
    if settings.modality_dropout and rng.random() < settings.modality_dropout:
        image = image.copy()
        image[rng.integers(4)] = 0
    return image, mask


def _draw_matrix(settings: Augmentation, rng: np.random.Generator) -> NDArray[np.float64]:
    """A 3 x 3 matrix that turns about each axis and zooms."""
    matrix = np.eye(3) * rng.uniform(1 - settings.scaling, 1 + settings.scaling)
    for axis, angle in enumerate(np.radians(rng.uniform(-1, 1, 3) * settings.rotation_degrees)):
        turn = np.eye(3)
        i, j = [a for a in range(3) if a != axis]
        turn[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        matrix = matrix @ turn
    return matrix


def _transform(
    image: NDArray[np.float32], mask: NDArray[np.float32], matrix: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Turn and zoom about the centre, image linearly and mask by majority; outside is background."""
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    sizes = np.array(image.shape[1:], dtype=np.float64)
    # torch counts coordinates from -1 to 1 along each side, last axis first: angles must not depend on the sides
    relative = (matrix * sizes[None, :] / sizes[:, None])[::-1, ::-1].copy()
    theta = torch.from_numpy(np.hstack([relative, np.zeros((3, 1))]).astype(np.float32))[None]
    both = torch.from_numpy(np.concatenate([image, mask]))[None]  # (1, 7, x, y, z)
    moved = grid_sample(both, affine_grid(theta, list(both.shape), align_corners=False), align_corners=False)[0].numpy()
    return moved[: len(image)], (moved[len(image) :] >= 0.5).astype(np.float32)
