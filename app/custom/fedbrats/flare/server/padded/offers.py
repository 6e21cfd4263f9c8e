"""The offers of a round: sketches that gates and methods judge in the place of updates, and the sum that is found."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedbrats.errors import UpdateError
from fedbrats.federation.aggregator import Combined
from fedbrats.federation.factor.similarity import SKETCH_LENGTH, sketch
from fedbrats.federation.gates import Contribution, Expectation
from fedbrats.flare.padded_messages import Offer
from fedbrats.flare.protocol import SKETCH
from fedbrats.privacy.secure.messages import PadRequest
from fedbrats.privacy.secure.server import check_offers

_ROUNDING = 1e-4  # of the largest number of a sketch, which is float32


@dataclass(frozen=True)
class Weighed:
    """What a method makes of a round's sketches.

    Attributes:
        combined: as of the method, its update a sketch.
        weights: of each site in the mean.
        coefficients: with which each update, as it was sent, enters the sum: the weight times what clipping left.
        offers: of each site.
    """

    combined: Combined
    weights: Mapping[str, float]
    coefficients: Mapping[str, float]
    offers: Mapping[str, Offer]


def expect_sketches(expected: Expectation) -> Expectation:
    """What an answer must look like where an update like `expected` is offered; the same where nothing is shared."""
    return replace(expected, shapes={SKETCH: (SKETCH_LENGTH,)}) if expected.shapes else expected


def weigh(combined: Combined, contributions: Sequence[Contribution], offers: Mapping[str, Offer]) -> Weighed:
    """The coefficients by which a method made its sketch of those of the round.

    Args:
        contributions: what the method was given, clipped.

    Raises: UpdateError where the method's update is no sum of the sites' updates with these coefficients.
    """
    weights = {str(row["site"]): float(row["weight"]) for row in combined.rows if row.get("weight") is not None}
    scales = {each.site: each.clip_scale for each in contributions}
    if weights.keys() != scales.keys():
        raise UpdateError("secure=pads needs a method that gives every site a weight")
    coefficients = {site: min(1.0, weights[site] * scales[site]) for site in sorted(weights)}
    total = math.fsum(weights.values()) or 1.0
    parts = [coefficients[site] * offers[site].sketch.astype(np.float64) for site in coefficients]
    found, said = np.sum(parts, axis=0) / total, combined.update[SKETCH].astype(np.float64)
    largest = max(float(np.abs(each.sketch).max()) for each in offers.values())
    if not np.abs(found - said).max() <= _ROUNDING * largest:
        raise UpdateError("secure=pads needs a method whose update is a weighted mean of the sites' updates")
    return Weighed(combined, weights, coefficients, dict(offers))


def mean_of(
    weighed: Weighed,
    request: PadRequest,
    members: Collection[str],
    total: NDArray[np.float64],
    like: Mapping[str, np.ndarray],
) -> Combined:
    """The mean update of those whose answers are in the sum, proved to be of the updates that they have offered.

    Args:
        total: the sum, flat, names in sorted order.
        like: the shared weights of the model, whose shapes and kinds of number the update has.

    Raises: ProtocolError where the sum is another one.
    """
    update, start = {}, 0
    for name in sorted(like):
        size = like[name].size
        update[name] = total[start : start + size].reshape(like[name].shape)
        start += size
    image = sketch(update).astype(np.float64)
    offered = {site: weighed.offers[site].sketch for site in members}
    check_offers(request, tuple(sorted(members)), offered, image, float(np.linalg.norm(total)), total.size)
    whole = math.fsum(weighed.weights[site] for site in members)
    mean = {name: (value / whole).astype(like[name].dtype) for name, value in update.items()}
    rows = [{**row, "weight": row["weight"] / whole} for row in weighed.combined.rows if row["site"] in members]
    return Combined(mean, rows, weighed.combined.meta)
