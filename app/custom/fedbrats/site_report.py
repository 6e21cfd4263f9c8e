"""What a site tells the server of a round, and of an evaluation: declared once for who sends, reads and records it.

A site is not trusted: what it sends is read by `SiteReport.read`, which never raises, and takes known entries of known
types and lengths only, for a row is no place for what a site thinks up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from fedbrats.federation.gates import MOST_CASES
from fedbrats.rows import REGIONS_AND_MEAN

KEPT: Literal["kept"] = "kept"  # what a site's round begins with: see `SiteReport.begins`
STORED: Literal["stored"] = "stored"
FRESH: Literal["fresh"] = "fresh"
LONGEST_TEXT, MOST_BYTES = 100, 10**15
PARTS = ("training", "waiting", "validating", "preparing")  # of a site's seconds


def _count(said: Any) -> int:
    if isinstance(said, bool) or not isinstance(said, Integral):
        raise ValueError("not a whole number")
    return int(said)


def _number(said: Any) -> float:
    if isinstance(said, bool) or not isinstance(said, Real):
        raise ValueError("not a number")
    try:
        number = float(said)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _printable(said: str) -> str:
    if not said.isprintable():
        raise ValueError("not printable")
    return said


def _known_parts(said: Any) -> dict[str, Any]:
    if not isinstance(said, Mapping):
        raise ValueError("not a table")
    return {part: said[part] for part in PARTS if part in said}


def _known_metrics(said: Any) -> dict[str, dict[str, Any]]:
    if not isinstance(said, Mapping) or not all(isinstance(said.get(metric), Mapping) for metric in ("dice", "iou")):
        raise ValueError("not a table of metrics")
    return {metric: {region: said[metric].get(region) for region in REGIONS_AND_MEAN} for metric in ("dice", "iou")}


# Numbers of numpy count as numbers, true and false do not.
Count = Annotated[int, BeforeValidator(_count), Field(ge=0, le=MOST_CASES)]
Number = Annotated[float, BeforeValidator(_number)]
Text = Annotated[str, Field(strict=True, max_length=LONGEST_TEXT), AfterValidator(_printable)]
Seconds = Annotated[dict[str, Number], BeforeValidator(_known_parts)]
Share = Annotated[float, BeforeValidator(_number), Field(ge=0, le=1)]
Metrics = Annotated[dict[str, dict[str, Share]], BeforeValidator(_known_metrics)]


class SiteReport(BaseModel):
    """A site's report of one round. A row of kind `site` has its entries, but for the metrics, which are rows of
    their own, and `bytes_down`.

    None stands for what is not told: suppressed, not measured, or not readable.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    training_cases: Count | None = None
    """how many cases the site has trained on"""
    validation_cases: Count | None = None
    """how many cases stand behind `received` and `trained`"""
    rejected_cases: Count | None = None
    """how many listed cases are left out, because they cannot be read or prepared"""
    manifest: Text | None = None
    """SHA-256 of the site's datalist: which cases these were, without saying which"""
    spacing_mm: Number | None = None
    """voxel size of the prepared training cases, in mm, where it is one for all"""
    version: Text | None = None
    """version of this package at the site"""
    steps: Count | None = None
    """optimiser steps of the round"""
    loss: Number | None = None
    """mean loss of these steps"""
    loss_cases: Count | None = None
    """how many different cases the loss is the mean of"""
    seconds: Seconds | None = None
    """seconds by part: training, waiting (for data, inside training), validating, preparing"""
    received: Metrics | None = None
    """Dice and IoU, by region and their mean, of the model that the round began with"""
    trained: Metrics | None = None
    """Dice and IoU, by region and their mean, of the model after local training"""
    minus_score: Number | None = None
    """for FedCE: 1 - Dice of the received model without this site's share"""
    begins: Literal["kept", "stored", "fresh"] | None = None
    """what the optimiser and the personal weights were taken from: `kept` in memory, `stored` on the site's disk, or
    `fresh` where the site has nothing of an earlier round"""
    fitted: Annotated[bool, Field(strict=True)] | None = None
    """whether the round began with a model that the site had already fitted to its own cases (a personal round)"""
    bytes_down: Annotated[int, BeforeValidator(_count), Field(ge=0, le=MOST_BYTES)] | None = None
    """bytes of the arrays in the task as they arrived, where they were compressed"""

    @classmethod
    def read(cls, said: Any) -> Self:
        """The report in what a site has sent: an entry that is unknown or cannot be is left out; never raises.

        `received` and `trained` are left out where no validation case stands behind them.
        """
        report = cls._read_known(said)
        if report.validation_cases:
            return report
        return report.model_copy(update={"received": None, "trained": None})

    @classmethod
    def _read_known(cls, said: Any) -> Self:
        if not isinstance(said, Mapping):
            return cls()
        known = {name: said[name] for name in cls.model_fields if name in said}
        try:
            return cls.model_validate(known)
        except ValidationError as error:
            wrong = {each["loc"][0] for each in error.errors(include_url=False, include_context=False)}
            return cls.model_validate({name: value for name, value in known.items() if name not in wrong})

    def completed(self, **entries: Any) -> Self:
        """A copy with more entries, checked like the others. Raises: ValidationError, which is a fault of this code."""
        return type(self)(**{**dict(self), **entries})

    @property
    def received_dice(self) -> float | None:
        """The mean Dice of the common model that the round began with; None where it is not told."""
        return None if self.fitted or not self.received else self.received["dice"]["mean"]

    @property
    def usefulness(self) -> float | None:
        """Mean Dice after local training minus before, on the site's own validation cases; None where not measured."""
        if not self.received or not self.trained:
            return None
        return self.trained["dice"]["mean"] - self.received["dice"]["mean"]


class EvaluationReport(BaseModel):
    """A site's answer to the task of evaluating one model."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    validation_cases: Count
    """how many cases stand behind the metrics"""
    metrics: Metrics | None
    """Dice and IoU, by region and their mean; None where the site suppressed them"""
    own_personal: Annotated[bool, Field(strict=True)] = False
    """whether the site put its own personal part into the model"""

    @classmethod
    def read(cls, said: Any) -> Self | None:
        """The report in what a site has sent; None where it is none. Never raises."""
        try:
            report = cls.model_validate(said)
        except ValidationError:
            return None
        return report if report.validation_cases or report.metrics is None else None
