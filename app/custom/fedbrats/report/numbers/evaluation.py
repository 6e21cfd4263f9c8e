"""The scores of one model on the cases of some sites, as one document and as a table with a row a case and region."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fedbrats.data.regions import REGIONS
from fedbrats.model.metrics import DETAILED_METRICS, EMPTY_REGION_RULE, DetailedScore
from fedbrats.outside import show_in_table
from fedbrats.report.numbers.statistics import LEAST_PATIENTS, aggregate, mean_by_patient
from fedbrats.rows import REGIONS_AND_MEAN

EVALUATION_FILE = "evaluation.json"  # in a results folder, where the report finds it
TABLE_FILE = "evaluation.csv"
LOWER_IS_BETTER = frozenset({"hd95_mm"})
SEED = 0  # of the bootstrap
_SIGNED = "volume_difference_ml"

Scores = Mapping[str, Sequence[DetailedScore]]


def summarise_scores(scores: Scores) -> dict[str, Any]:
    """`{metric: {region: {mean, low, high, median, patients, seeds, sites, worst_site, gap}}}` of scores by site.

    A patient with several cases counts once, by their mean; `mean` as a region is the mean over the three of a case.
    None stands where a metric is defined for no patient, and for low and high below LEAST_PATIENTS patients, where
    `values` has the value of each. The worst site of a volume difference is the one that is
    furthest from 0.
    """
    return {
        metric: {region: _aggregate(scores, metric, region) for region in REGIONS_AND_MEAN}
        for metric in DETAILED_METRICS
    }


def show_interval(found: Mapping[str, Any]) -> str:
    """The interval of an entry of `summarise_scores`, or the values of the few patients."""
    if found["low"] is None:
        return ", ".join(f"{value:.3f}" for value in found["values"])
    return f"{found['low']:.3f} to {found['high']:.3f}"


def evaluation_document(scores: Scores, about: Mapping[str, Any]) -> dict[str, Any]:
    """One JSON document: what was evaluated (`about`), the rule for empty regions, the metrics and every case."""
    cases = [{"site": site, **asdict(score)} for site, own in scores.items() for score in own]
    return {
        **about,
        "empty_region_rule": EMPTY_REGION_RULE,
        "cases": len(cases),
        "patients": len({(case["site"], case["patient"]) for case in cases}),
        "metrics": summarise_scores(scores),
        "scores": cases,
    }


def evaluation_table(scores: Scores) -> str:
    """CSV with a row a case and region; an undefined metric is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("site", "case", "patient", "region", *DETAILED_METRICS))
    for site, own in scores.items():
        for score in own:
            for region in REGIONS:
                values = (getattr(score, metric)[region] for metric in DETAILED_METRICS)
                writer.writerow((*map(show_in_table, (site, score.case, score.patient)), region, *values))
    return text.getvalue()


def value_of(values: Mapping[str, float | None], region: str) -> float | None:
    """One region's value of a case, or the mean over the three; None where one is undefined."""
    if region != "mean":
        return values[region]
    found = [values[name] for name in REGIONS]
    return None if any(value is None for value in found) else math.fsum(v for v in found if v is not None) / len(found)


def _aggregate(scores: Scores, metric: str, region: str) -> dict[str, Any] | None:
    sites = {
        site: mean_by_patient(_defined((score.patient, value_of(getattr(score, metric), region)) for score in own))
        for site, own in scores.items()
    }
    found = aggregate(sites, SEED, lower_is_better=metric in LOWER_IS_BETTER)
    if found is None:
        return None
    worst = found.worst_site
    if worst and metric == _SIGNED:
        worst = max(found.site_means, key=lambda site: abs(found.site_means[site]))
    few = found.interval.patients < LEAST_PATIENTS
    values = [value for own in sites.values() for value in own.values()]
    return {
        **asdict(found.interval),
        **({"low": None, "high": None, "values": values} if few else {}),
        "median": found.median,
        "sites": found.site_means,
        "worst_site": worst,
        "gap": found.gap,
    }


def _defined(values: Iterable[tuple[str, float | None]]) -> Iterable[tuple[str, float]]:
    return ((patient, value) for patient, value in values if value is not None)
