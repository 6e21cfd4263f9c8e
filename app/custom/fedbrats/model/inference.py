"""From a prepared case to a mask: whole volume or sliding window, test-time flips, nested regions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, special
from torch import Tensor

from fedbrats.data.prepare.cache import CachedCase
from fedbrats.model.monai_parts import eval_mode, sliding_window_inference
from fedbrats.model.network import SegmentationNetwork
from fedbrats.model.precision import autocast, precision_of

WINDOW_OVERLAP = 0.5
THRESHOLD = 0.5
_AXES = (2, 3, 4)
_ALL_FLIPS = tuple(axes for count in range(4) for axes in combinations(_AXES, count))


def predict_probabilities(
    network: SegmentationNetwork,
    case: CachedCase,
    *,
    device: torch.device,
    window: Sequence[int] | None = None,
    flips: bool = False,
    mixed_precision: bool = True,
) -> NDArray[np.float32]:
    """Probabilities (3, X, Y, Z) on the case's prepared grid, each region no likelier than the one around it.

    window: the side lengths of a sliding window; None takes the whole volume at once.
    flips: the mean over the eight mirror images of the case.
    mixed_precision: let a CUDA device compute in what `fedbrats.model.precision` chooses for it.
    """
    image = torch.from_numpy(case.image.astype(np.float32))[None].to(device)  # (1, 4, X, Y, Z)
    total = torch.zeros(())
    directions = _ALL_FLIPS if flips else _ALL_FLIPS[:1]
    with eval_mode(network), autocast(device, precision_of(device, mixed_precision)):
        for axes in directions:
            total = total + torch.sigmoid(_logits(network, image.flip(axes), window).float()).flip(axes).cpu()
    probabilities = (total / len(directions))[0].numpy()
    return np.minimum.accumulate(probabilities, axis=0)


def keep_main_tumour(probabilities: NDArray[np.float32], share: float) -> tuple[NDArray[np.float32], int]:
    """Probabilities without the parts of the whole tumour that hold less than `share` of the tumour core that the main
    part holds, and how many voxels of whole tumour were in them.

    Networks trained on few cases take bright healthy tissue elsewhere for more tumour, at times for a larger piece than
    the tumour itself, but they find no core in it: so parts are compared by the sum of their core probabilities, not by
    their size. 1 keeps the main part alone, 0 keeps all; between them a second focus stays if it has core enough.

    Whatever `share` is, the part stays that the network is surest of, by the sum of its log-odds of whole tumour, if
    any voxel of it is core: a false part that holds more core never takes the tumour's place.
    """
    parts, count = ndimage.label(probabilities[0] >= THRESHOLD)
    flat = parts.ravel()
    sizes = np.bincount(flat, minlength=count + 1)
    core = np.bincount(flat, weights=probabilities[1].ravel(), minlength=count + 1)
    core[0] = 0  # the background
    small = core < share * core.max()
    has_core = np.bincount(flat, weights=probabilities[1].ravel() >= THRESHOLD, minlength=count + 1) > 0
    odds = np.bincount(flat, weights=special.logit(np.clip(probabilities[0].ravel(), 1e-6, 1 - 1e-6)))
    small[np.argmax(np.where(has_core, odds, 0))] = small[0] = False
    if not small.any():
        return probabilities, 0
    return np.where(small[parts], np.float32(0), probabilities), int(sizes[small].sum())


def predict_mask(
    network: SegmentationNetwork, case: CachedCase, *, component_share: float = 0.0, **options: Any
) -> NDArray[np.uint8]:
    """The mask, uint8 (3, X, Y, Z): where `predict_probabilities`, asked with `options`, gives at least one half, in
    the parts that `keep_main_tumour` keeps."""
    probabilities, _ = keep_main_tumour(predict_probabilities(network, case, **options), component_share)
    return (probabilities >= THRESHOLD).astype(np.uint8)


def _logits(network: SegmentationNetwork, image: Tensor, window: Sequence[int] | None) -> Tensor:
    if window is None:
        return network(image)
    return sliding_window_inference(image, list(window), 1, network, overlap=WINDOW_OVERLAP, mode="gaussian")
