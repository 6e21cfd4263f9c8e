"""A simulated week of FeTS' hospitals: how many rounds our rules make of it, and what they lead to.

    python benchmarks/scale.py

The clock is that of the FeTS Challenge (arXiv:2105.05874): training and validation seconds a case, download and upload
seconds, drawn for each hospital evenly within the ranges measured in real ones, and normally from round to round; a
round lasts as long as its slowest hospital; the budget is seven days. What a round is worth is not simulated from
nothing: Dice over local steps follows the learning curve of a real federated run (--curve, a rows.jsonl), by the steps
that a round's mean hospital has made, cases weighing. So absolute scores say little; differences between rules count.

Rules, one on top of the other:
  fedavg       one epoch a round, everything validated twice, 32 bits, every hospital waited for
  steps        eighty steps a round whatever the size
  validation   at most 20 validation cases a round (`round_validation_cases`)
  int8         a quarter of the bytes (`compression=int8`)
  deadline     the round closes at --patience times the median hospital; who is late is dropped (said, not hidden)

Projected convergence: (sum over rounds of best Dice so far x round time + remaining time x best) / seven days.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from record import RESULTS, Target, write

from fedbrats.cli.output import print_table
from fedbrats.rows import learning_curve, read_rows

WEEK_S = 7 * 24 * 3600.0
TRAINING_SHARE = 0.8
HOSPITALS = {
    23: (511, 382, 47, 35, 35, 34, 33, 30, 22, 15, 14, 13, 12, 11, 9, 8, 8, 7, 6, 6, 5, 4, 4),
    33: (171, 170, 170, 128, 127, 127, 34, 33, 30, 22, 16, 16, 15, 15, 14, 13, 12, 12, 12, 12, 12, 11, 11, 11, 9, 8, 8,
         7, 6, 6, 5, 4, 4),
}  # fmt: skip
TRAIN_S, VALIDATE_S = (1.80, 20.66), (9.69, 40.24)  # a case
DOWNLOAD_S, UPLOAD_S = (13.0, 217.0), (20.0, 431.0)  # a model of 32 bits
SEEDS = range(20)
NEAR = 0.01  # Dice below the best of the curve
SERVER_GBIT_S = 1.0
MODELS = (1.3e6, 4.7e6, 31e6)  # parameters


@dataclass(frozen=True)
class Rules:
    """How a round goes."""

    steps: int | None = None  # of a case each; None for one epoch
    validation_cases: int | None = None  # a round and hospital; None for all
    bytes_share: float = 1.0
    patience: float | None = None  # times the median hospital; None waits for all


RULES = {"fedavg": Rules()}
RULES["steps"] = replace(RULES["fedavg"], steps=80)
RULES["validation"] = replace(RULES["steps"], validation_cases=20)
RULES["int8"] = replace(RULES["validation"], bytes_share=0.25)


def main() -> int:
    """Simulate, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curve", type=Path, help="rows.jsonl of a real federated run (default: the one kept here)")
    parser.add_argument("--patience", type=float, default=2.0, help="of the rule deadline (default: 2)")
    parser.add_argument("--out", type=Path, default=RESULTS / "scale.json")
    args = parser.parse_args()
    rules = {**RULES, "deadline": replace(RULES["int8"], patience=args.patience)}
    kept = json.loads(args.out.read_text())["curve"] if args.out.exists() and not args.curve else None
    curve = kept or read_curve(args.curve)
    entries = [
        {"hospitals": count, "rules": name, **summarise([week(sizes, rule, curve, seed) for seed in SEEDS])}
        for count, sizes in HOSPITALS.items()
        for name, rule in rules.items()
    ]
    print_table(
        ("hospitals", "rules", "rounds a week", "minutes a round", "hours to near best", "projected", "dropped"),
        [
            (e["hospitals"], e["rules"], e["rounds"], f"{e['round_minutes']:.0f}", f"{e['hours_to_near_best']:.1f}",
             f"{e['projected']:.4f}", f"{e['dropped']:.1f}")
            for e in entries
        ],
    )  # fmt: skip
    found = {(e["hospitals"], e["rules"]): e for e in entries}
    targets = [
        Target(
            f"rounds_a_week_over_fedavg_{count}",
            1.5,
            round(found[count, "int8"]["rounds"] / found[count, "fedavg"]["rounds"], 2),
            at_least=True,
        )
        for count in HOSPITALS
    ]
    numbers = {
        "seeds": len(SEEDS),
        "patience": args.patience,
        "curve": curve,
        "entries": entries,
        "one_server": [one_server(sites, size) for size in MODELS for sites in (5, 33, 71, 300)],
    }
    return write(args.out, targets, numbers)


def one_server(sites: int, parameters: float) -> dict[str, Any]:
    """What one server's line takes a round, both ways, for 32 and for 8 bits; aggregation.json has the rest."""
    seconds = 2 * sites * 4 * parameters * 8 / (SERVER_GBIT_S * 1e9)
    return {
        "sites": sites,
        "parameters": parameters,
        "line_seconds": round(seconds, 1),
        "line_seconds_int8": round(seconds / 4, 1),
        "updates_gb": round(sites * 4 * parameters / 1e9, 2),
    }


def read_curve(path: Path) -> list[tuple[float, float]]:
    """(local steps so far, mean Dice) of a real run."""
    rows = read_rows(path)
    steps = statistics.mean(row["steps"] for row in rows if row["kind"] == "site" and row["accepted"])
    return [(number * steps, round(dice, 4)) for number, dice in sorted(learning_curve(rows).items())]


def week(sizes: tuple[int, ...], rule: Rules, curve: list[tuple[float, float]], seed: int) -> dict[str, Any]:
    """One week of one draw of hospitals."""
    rng = np.random.default_rng(seed)
    cases = np.array(sizes, dtype=float)
    training, validation = cases * TRAINING_SHARE, cases * (1 - TRAINING_SHARE)
    draw = {key: rng.uniform(*span, len(cases)) for key, span in
            (("train", TRAIN_S), ("validate", VALIDATE_S), ("down", DOWNLOAD_S), ("up", UPLOAD_S))}  # fmt: skip
    steps = training if rule.steps is None else np.full(len(cases), float(rule.steps))
    tried = validation if rule.validation_cases is None else np.minimum(validation, rule.validation_cases)
    usual = steps * draw["train"] + 2 * tried * draw["validate"] + rule.bytes_share * (draw["down"] + draw["up"])
    weights = training / training.sum()
    clock = area = best = done = 0.0
    near, near_at = max(dice for _, dice in curve) - NEAR, WEEK_S
    rounds = dropped = 0
    points = np.array(curve)
    while True:
        seconds = usual * rng.normal(1.0, 0.1, len(cases)).clip(0.7, 1.5)  # hospitals vary from round to round
        limit = np.inf if rule.patience is None else rule.patience * float(np.median(seconds))
        counted = seconds <= limit
        span = float(seconds[counted].max())
        if clock + span > WEEK_S:
            break
        # A round is worth the steps of its mean hospital, less what the hospitals that were dropped hold of the cases.
        done += float((weights[counted] * steps[counted]).sum())
        best = max(best, float(np.interp(done, points[:, 0], points[:, 1])))
        clock, area, rounds = clock + span, area + best * span, rounds + 1
        near_at = min(near_at, clock) if best >= near else near_at
        dropped += int((~counted).sum())
    projected = (area + (WEEK_S - clock) * best) / WEEK_S
    return {
        "rounds": rounds,
        "round_minutes": clock / max(rounds, 1) / 60,
        "hours_to_near_best": near_at / 3600,
        "projected": projected,
        "final": best,
        "dropped": dropped / max(rounds, 1),
        "slowest_share_validating": float((2 * tried * draw["validate"] / usual)[int(np.argmax(usual))]),
    }


def summarise(weeks: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over draws of hospitals."""
    means = {key: round(statistics.mean(each[key] for each in weeks), 4) for key in weeks[0]}
    spread = statistics.stdev(each["projected"] for each in weeks)
    return {
        **means,
        "rounds": round(means["rounds"]),
        "projected_sd": round(spread, 4),
    }


if __name__ == "__main__":
    sys.exit(main())
