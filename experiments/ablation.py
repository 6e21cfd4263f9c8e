"""What each part of the Contribution Factor carries: simulated federations with the factor without one part.

    python experiments/ablation.py [--seeds 10] [--out experiments/results/ablation.json]

Writes the rows as JSON and prints the tables of docs/reference/contribution.md; takes minutes. The other parts stay as
they are. FedAvg behind the same gates and the same clip stands beside them: what the clip does is no merit of the
factor. Adaptive sites are among the troubles: their own update plus 1.5 of its length in one direction.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from simulated import SETTINGS, interval
from simulation.command import run_command
from simulation.federate import run
from simulation.methods import Factor, FedAvg, Gated, Median, Method
from simulation.quadratics import SIZE
from simulation.trouble import TROUBLES, Trouble

from fedbrats.federation.factor.settings import FactorSettings
from fedbrats.report.markdown import markdown_table

NEVER = 1000  # rounds
ALIKE = 0.25  # percent of loss left
WITHOUT: dict[str, dict[str, Any]] = {
    "copies": {"copy_threshold": 1.0, "copy_ratio": 0.0},
    "alignment": {"alignment_deviation": 2.0},
    "usefulness": {"usefulness_deviation": 1.0},
    "quarantine": {"quarantine_rounds": NEVER},
}
QUARANTINE_ALONE = {name: value for part in WITHOUT if part != "quarantine" for name, value in WITHOUT[part].items()}


def factor_with(**changes: Any) -> type[Method]:
    """The factor with other constants."""
    return type("Factor", (Factor,), {"settings": FactorSettings(**changes)})


VARIANTS: dict[str, type[Method]] = {
    "FedAvg, not clipped": FedAvg,
    "FedAvg, clipped": Gated,
    "median": Median,
    "factor": factor_with(),
    **{f"without {part}": factor_with(**changes) for part, changes in WITHOUT.items()},
    "quarantine alone": factor_with(**QUARANTINE_ALONE),
}
OF_FACTOR = tuple(VARIANTS)[4:]


def _adaptive(own: np.ndarray, other: np.ndarray, round_number: int, rng: np.random.Generator) -> np.ndarray:
    direction = np.random.default_rng(1).standard_normal(SIZE)
    return own + 1.5 * float(np.linalg.norm(own)) * direction / np.linalg.norm(direction)


ALL = {**TROUBLES, "adaptive": Trouble(corrupt=_adaptive), "adaptive, two sites": Trouble(corrupt=_adaptive, count=2)}


def ablate(setting: str, trouble: str, seeds: int) -> list[dict[str, Any]]:
    """One row a variant: the loss left in percent, with its interval over federations."""
    rows = []
    for name, method in VARIANTS.items():
        with np.errstate(all="ignore"):  # what breaks a model overflows
            losses = np.array([run(SETTINGS[setting], ALL[trouble], method, seed).excess for seed in range(seeds)])
        broken = int((losses > 1.0).sum())
        mean, low, high = interval(100 * losses) if not broken else (None, None, None)
        row = {"setting": setting, "trouble": trouble, "variant": name, "broken": broken}
        rows.append({**row, "loss": mean, "low": low, "high": high})
    return rows


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """The loss left in percent, where some variant of the factor has another than the whole factor."""
    found = {(row["setting"], row["trouble"], row["variant"]): row for row in rows}
    lines = []
    for setting in SETTINGS:
        for trouble in ALL:
            cells = {name: found[setting, trouble, name] for name in VARIANTS}
            if any(_differs(cells["factor"], cells[name]) for name in OF_FACTOR):
                texts = ("broken" if cell["broken"] else f"{cell['loss']:.1f}" for cell in cells.values())
                lines.append([setting, trouble, *texts])
    return markdown_table(["setting", "trouble", *VARIANTS], lines)


def _differs(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if one["broken"] or other["broken"]:
        return bool(one["broken"]) != bool(other["broken"])
    return abs(one["loss"] - other["loss"]) > ALIKE


def measure_all(seeds: int) -> dict[str, Any]:
    """Every setting with every trouble-maker and every variant."""
    tasks = [(setting, trouble, seeds) for setting in SETTINGS for trouble in ALL]
    with ProcessPoolExecutor() as pool:
        rows = [row for rows in pool.map(ablate, *zip(*tasks, strict=True)) for row in rows]
    return {"seeds": list(range(seeds)), "rows": rows}


if __name__ == "__main__":
    sys.exit(run_command("ablation", str(__doc__), measure_all, lambda document: tables(document["rows"])))
