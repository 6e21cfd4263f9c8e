"""Compare aggregation methods on simulated federations, each with one kind of trouble-maker; takes a minute or two.

    python experiments/simulated.py [--seeds 10] [--out experiments/results/simulated.json]

Writes the rows as JSON and prints the tables of docs/reference/contribution.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import scipy
from simulation.command import run_command
from simulation.cost import measure
from simulation.federate import Course, run
from simulation.leave_one_out import rank_correlation
from simulation.methods import METHODS
from simulation.quadratics import Setting
from simulation.tables import as_markdown
from simulation.trouble import TROUBLES

SETTINGS = {
    "5 sites, clear": Setting(sites=5, noise=0.05),
    "5 sites, noisy": Setting(sites=5, noise=0.2),
    "10 sites, noisy": Setting(sites=10, noise=0.2),
}
WEIGHING_METHODS = ("FedCE", "factor")  # whose weights can follow what a hospital is worth
COSTS = [(5, 100_000), (5, 1_000_000), (5, 4_000_000), (20, 1_000_000)]  # sites, numbers in the model
SHIFTS = (1.0, 1.5, 2.0, 3.0)  # in units of the way from the first model to the common optimum
FIFTH_ROUND = 4  # rounds are counted from 0


def summarise(courses: Sequence[Course]) -> dict[str, Any]:
    """One row over seeds: means, 95% intervals of the mean, and what became of the troubled sites."""
    losses = np.array([course.excess for course in courses])
    row: dict[str, Any] = {"broken": int((losses > 1.0).sum())}  # worse than the model that nobody trained
    mean, low, high = interval(losses) if row["broken"] == 0 else (None, None, None)
    row |= {"excess": mean, "excess_low": low, "excess_high": high}
    if row["broken"] or np.isnan(courses[0].weight_ratio).all():
        return row
    weights = np.stack([course.weight_ratio.max(axis=1) for course in courses])  # (seeds, rounds), the worst site
    influences = np.stack([course.influence_ratio.max(axis=1) for course in courses])
    return row | {
        "weight_ratio_by_round": weights.mean(axis=0).round(4).tolist(),
        "weight_ratio_least": float(np.min([course.weight_ratio.min() for course in courses])),
        "influence_ratio_fifth_round": float(influences[:, FIFTH_ROUND].mean()),
        "influence_ratio_mean": float(influences.mean()),
        "seeds_under_half_by_fifth_round": int((influences[:, : FIFTH_ROUND + 1].min(axis=1) < 0.5).sum()),
        "seeds_with_others_in_quarantine": sum(course.others_in_quarantine > 0 for course in courses),
    }


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """(mean, low, high): the 95% interval of the mean by Student's t."""
    mean, error = float(values.mean()), float(scipy.stats.sem(values))
    half = float(scipy.stats.t.ppf(0.975, len(values) - 1)) * error
    return mean, mean - half, mean + half


def compare(setting: str, trouble: str, seeds: int) -> list[dict[str, Any]]:
    """One row a method, with the paired difference of its loss to that of FedAvg behind the gates."""
    with np.errstate(all="ignore"):  # what breaks a model overflows
        courses = {
            method: [run(SETTINGS[setting], TROUBLES[trouble], method_class, seed) for seed in range(seeds)]
            for method, method_class in METHODS.items()
        }
    gated = np.array([course.excess for course in courses["FedAvg, gated"]])
    rows = []
    for method, runs in courses.items():
        row = {"setting": setting, "trouble": trouble, "method": method, **summarise(runs)}
        if not row["broken"]:
            mean, low, high = interval(np.array([course.excess for course in runs]) - gated)
            row |= {"over_gated_fedavg": mean, "over_gated_fedavg_low": low, "over_gated_fedavg_high": high}
        rows.append(row)
    return rows


def correlate(setting: str, method: str, seeds: int) -> dict[str, Any]:
    """One row: how a method's weights over the prior go with leave-one-out retraining."""
    values = np.array([rank_correlation(SETTINGS[setting], METHODS[method], seed) for seed in range(seeds)])
    mean, low, high = interval(values)
    row = {"setting": setting, "method": method, "spearman": mean}
    return row | {"spearman_low": max(low, -1.0), "spearman_high": min(high, 1.0)}


def shift(setting: str, length: float, seeds: int) -> dict[str, Any]:
    """One row: what the factor does to an honest hospital whose domain shift has this length."""
    shifted = replace(SETTINGS[setting], shift=length)
    courses = [run(shifted, TROUBLES["shifted, honest"], METHODS["factor"], seed) for seed in range(seeds)]
    return {
        "setting": setting,
        "shift": length,
        "seeds_in_quarantine": sum(course.troubled_in_quarantine > 0 for course in courses),
        "weight_ratio_mean": float(np.mean([course.weight_ratio.mean() for course in courses])),
    }


def measure_all(seeds: int) -> dict[str, Any]:
    """Every setting with every trouble-maker, and what else the page says."""
    tasks = [(setting, trouble, seeds) for setting in SETTINGS for trouble in TROUBLES]
    with ProcessPoolExecutor() as pool:
        rows = [row for rows in pool.map(compare, *zip(*tasks, strict=True)) for row in rows]
    return {
        "seeds": list(range(seeds)),
        "settings": {name: vars(setting) for name, setting in SETTINGS.items()},
        "rows": rows,
        "leave_one_out": [correlate(s, method, seeds) for s in SETTINGS for method in WEIGHING_METHODS],
        "shift": [shift(s, length, seeds) for s in SETTINGS for length in SHIFTS],
        "cost": [measure(sites, numbers, sketched) for sites, numbers in COSTS for sketched in (False, True)],
    }


if __name__ == "__main__":
    sys.exit(run_command("simulated", str(__doc__), measure_all, as_markdown))
