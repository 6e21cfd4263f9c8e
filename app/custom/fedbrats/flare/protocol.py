"""What travels between site and server beside FLARE's own: every key and stage, and what a site may say of itself.

A report has known entries of known types, for a row is no place for what a site thinks up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

from fedbrats.rows import REGIONS_AND_MEAN

# Keys in the meta of a DXO
REPORT_KEY = "fedbrats"  # site to server: the site's report of a round
TRAVELLED = "fedbrats_bytes"  # of what was unpacked: how many bytes of arrays came
PACKED_KIND, PACKED_NAMES = "fedbrats_compression", "fedbrats_names"  # of what is packed
MODEL_NAME = "model"  # server to site, of a task of the job `evaluate`: which model of the job to evaluate
FEDCE_WEIGHTS = "fedce_coef"  # server to site, of FLARE's FedCE: what each site counted for in the model
VALIDATION_DICE = "val_dice"  # in MetaKey.INITIAL_METRICS, for FLARE's IntimeModelSelector

PACKED_CODES, PACKED_SCALES = "codes", "scales"  # what is packed, in the data of a DXO
CURVES_EVENT = "analytix_log_stats"  # site to server, under FLARE's prefix `fed.`: the scalars of a round

# The header MODEL_OWNER of a task names the model to evaluate.
FINAL_MODEL, BEST_MODEL = "SRV_FL_global_model.pt", "SRV_best_FL_global_model.pt"
STAGES = {FINAL_MODEL: "final", BEST_MODEL: "best"}  # as rows name them
FROM_SERVER = "SRV_"  # before the name of a model that FLARE's evaluation has from the server

KEPT, STORED, FRESH = "kept", "stored", "fresh"  # what a site's round begins with: see SegmentationExecutor
FITTED = "fitted"  # the round began with a model that the site had already fitted to its own cases
LONGEST_TEXT, MOST_CASES, MOST_BYTES = 100, 10**9, 10**15
PARTS = ("training", "waiting", "validating", "preparing")  # of a site's seconds
Metrics = dict[str, dict[str, float]]


def read_report(said: Any) -> dict[str, Any]:
    """A site's report as rows may hold it: what is unknown, or of another type, is left out.

    `received` and `trained` are metrics or None, and None where no validation case stands behind them.
    """
    if not isinstance(said, Mapping):
        return {}
    found = {name: read(said[name]) for name, read in ENTRIES.items() if name in said}
    report = {name: value for name, value in found.items() if value is not None or said[name] is None}
    for stage in ("received", "trained"):
        report[stage] = read_metrics(said.get(stage)) if report.get("validation_cases") else None
    return report


def read_evaluation(said: Any) -> tuple[Metrics | None, int] | None:
    """(metrics or None where the site suppressed them, validation cases) of an evaluation; None where it is none."""
    if not isinstance(said, Mapping):
        return None
    cases, metrics = read_count(said.get("validation_cases")), read_metrics(said.get("metrics"))
    if cases is None or (metrics is None) != (said.get("metrics") is None) or (metrics and not cases):
        return None
    return metrics, cases


def read_metrics(said: Any) -> Metrics | None:
    """Dice and IoU by region and in the mean, from 0 to 1; None for anything else."""
    if not isinstance(said, Mapping):
        return None
    metrics: Metrics = {}
    for metric in ("dice", "iou"):
        values = said.get(metric)
        if not isinstance(values, Mapping):
            return None
        found = {region: read_number(values.get(region)) for region in REGIONS_AND_MEAN}
        if any(value is None or not 0 <= value <= 1 for value in found.values()):
            return None
        metrics[metric] = {region: value for region, value in found.items() if value is not None}
    return metrics


def read_number(said: Any) -> float | None:
    """A finite number."""
    if isinstance(said, bool) or not isinstance(said, Real):
        return None
    try:
        number = float(said)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def read_count(said: Any, most: int = MOST_CASES) -> int | None:
    """A whole number from 0."""
    if isinstance(said, bool) or not isinstance(said, Integral):
        return None
    count = int(said)
    return count if 0 <= count <= most else None


def _read_text(said: Any) -> str | None:
    return said if isinstance(said, str) and len(said) <= LONGEST_TEXT and said.isprintable() else None


def _read_seconds(said: Any) -> dict[str, float] | None:
    if not isinstance(said, Mapping):
        return None
    return {part: number for part in PARTS if (number := read_number(said.get(part))) is not None}


ENTRIES: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("training_cases", "validation_cases", "rejected_cases", "loss_cases", "steps"), read_count),
    **dict.fromkeys(("spacing_mm", "loss", "minus_score"), read_number),
    **dict.fromkeys(("manifest", "version"), _read_text),
    "seconds": _read_seconds,
    "begins": lambda said: said if isinstance(said, str) and said in (KEPT, STORED, FRESH) else None,
    FITTED: lambda said: said if isinstance(said, bool) else None,
    "bytes_down": lambda said: read_count(said, most=MOST_BYTES),
}
