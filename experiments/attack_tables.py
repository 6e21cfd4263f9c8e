"""Make the tables of real cases in docs/results/attacks.md from the lines of runs.

python experiments/attack_tables.py
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fedbrats.admin.run.sweep import plan_runs, read_sweep
from fedbrats.report.markdown import markdown_table
from fedbrats.report.numbers.comparison import SEED
from fedbrats.report.numbers.records import Record, known_ids, read_records
from fedbrats.report.numbers.statistics import LEAST_PATIENTS, PairedDifference, common_values, paired_difference

HERE = Path(__file__).parent
LINES, PAGE = HERE / "results" / "attacks" / "runs.jsonl", HERE.parent / "docs" / "results" / "attacks.md"
SWEEPS = (HERE / "attacks.json", HERE / "attacks-unclipped.json")
BEGIN, END = (f"<!-- made by experiments/attack_tables.py: {where} -->" for where in ("begin", "end"))
HONEST = "nobody"
ATTACKERS = {"cbica-2", "tcia-gbm"}  # hospitals that attack in a run; their patients are scored in none
UNCLIPPED = "FedAvg without the clip"
PLAIN = {
    "fedavg": "FedAvg",
    "contribution": "Contribution Factor",
    "geometric_median": "geometric median",
    "multi_krum": "multi-Krum",
    "trimmed_mean": "trimmed mean",
}
FALL = 0.02  # Dice; a smaller loss is within what another seed changes
Runs = Mapping[tuple[str, str], Mapping[int, Record]]  # (attack, method): the runs by fold


def main() -> None:
    """Write the tables into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=PAGE, help="the page (default: docs/results/attacks.md)")
    args = parser.parse_args()
    before, begin, rest = args.out.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{args.out} has no place for tables, between {BEGIN} and {END}")
    tables = "\n".join(parts(read_records(LINES)))
    args.out.write_text(f"{before}{BEGIN}\n\n{tables}\n{END}{after}")


def parts(records: Sequence[Record]) -> Iterable[str]:
    """The tables: one fold of all rules, then the rules that have more folds."""
    runs = by_attack(records)
    folds = sorted({fold for own in runs.values() for fold in own})
    yield from tables_of(runs, folds[:1])
    several = {key: own for key, own in runs.items() if set(own) == set(folds)}
    if len(folds) > 1 and any(attack != HONEST for attack, _ in several):
        yield from tables_of(several, folds)
    yield missing(records)


def by_attack(records: Iterable[Record]) -> Runs:
    """The runs of each attack and method, by fold."""
    found: dict[tuple[str, str], dict[int, Record]] = {}
    for record in records:
        found.setdefault((attack_of(record["misbehaviour"]), method_of(record)), {})[record["fold"]] = record
    return found


def attack_of(harm: Mapping[str, str]) -> str:
    """What the bad sites do, in words."""
    kinds = " and ".join(sorted(set(harm.values())))
    return f"{kinds}, two sites" if len(harm) > 1 else kinds or HONEST


def method_of(record: Record) -> str:
    """The rule of the server, as a column names it."""
    return UNCLIPPED if record["settings"].get("clip_multiple") == 0 else PLAIN[record["method"]]


def tables_of(runs: Runs, folds: Sequence[int]) -> Iterable[str]:
    """Dice, what each attack changes, and the weight of the attackers, over some folds."""
    attacks, methods = (list(dict.fromkeys(key[place] for key in planned().values())) for place in (0, 1))
    patients = max(len(dice_of(own, folds)) for own in runs.values())
    where = f"fold {folds[0]}" if len(folds) == 1 else f"folds {', '.join(map(str, folds))}"
    yield f"**{where.capitalize()}, {patients} patients.** Mean Dice:\n"
    dice = {key: float(np.mean(list(dice_of(own, folds).values()))) for key, own in runs.items() if folds[0] in own}
    yield grid(attacks, methods, {key: f"{value:.3f}" for key, value in dice.items()})
    yield "What the attack changes under the same rule, with the 95 % interval; bold is a fall:\n"
    changes = {key: change_of(runs, key, folds) for key in runs}
    cells = {key: cell_of(change) for key, change in changes.items() if change}
    yield grid([attack for attack in attacks if attack != HONEST], methods, cells)
    yield "Weight of the attackers, as the mean of its rounds, and their share of the cases:\n"
    weights = {key: weight_of(own, folds) for key, own in runs.items() if key[0] != HONEST and folds[0] in own}
    shares = {(attack, "cases"): f"{share_of(own, folds):.2f}" for (attack, _), own in runs.items() if attack != HONEST}
    yield grid([attack for attack in attacks if attack != HONEST], ["cases", *methods], {**weights, **shares})


def dice_of(own: Mapping[int, Record], folds: Sequence[int]) -> dict[tuple[int, int], float]:
    """The Dice of each patient of the hospitals that attack in no run, the mean of its regions."""
    return {
        (fold, score["patient"]): float(np.mean(list(score["dice"].values())))
        for fold in folds
        for score in own.get(fold, {"patients": ()})["patients"]
        if score["site"] not in ATTACKERS
    }


def change_of(runs: Runs, key: tuple[str, str], folds: Sequence[int]) -> PairedDifference | None:
    """An attack's Dice less that of the same rule without an attack; None where one of the runs is missing."""
    attacked, honest = (dice_of(runs.get(each, {}), folds) for each in (key, (HONEST, key[1])))
    if key[0] == HONEST or attacked.keys() != honest.keys() or len(attacked) < LEAST_PATIENTS:
        return None
    ours, theirs = common_values(attacked, honest)
    return paired_difference(ours, theirs, SEED)


def cell_of(change: PairedDifference) -> str:
    """A change with its interval, bold where the rule falls."""
    text = f"{change.mean:+.3f} ({change.low:+.3f} to {change.high:+.3f})"
    return f"**{text}**" if change.high < 0 and change.mean <= -FALL else text


def weight_of(own: Mapping[int, Record], folds: Sequence[int]) -> str:
    """The weight of the attackers' updates after the clip, summed over them, as the mean of rounds and folds."""
    sums = [
        sum(values)
        for fold in folds
        for values in zip(*(own[fold]["weights"][site] for site in own[fold]["misbehaviour"]), strict=True)
        if None not in values  # of a rule that gives no weights to sites
    ]
    return f"{np.mean(sums):.2f}" if sums else "-"


def share_of(own: Mapping[int, Record], folds: Sequence[int]) -> float:
    """The attackers' share of the training cases."""
    known = [own[fold] for fold in folds if fold in own]
    shares = [
        sum(record["training_cases"][site] for site in record["misbehaviour"]) / sum(record["training_cases"].values())
        for record in known
    ]
    return float(np.mean(shares))


def grid(attacks: Sequence[str], methods: Sequence[str], cells: Mapping[tuple[str, str], Any]) -> str:
    """A table: attacks down, rules across."""
    rows = [(attack, *(cells.get((attack, method)) for method in methods)) for attack in attacks]
    return markdown_table(("attack", *methods), rows)


def missing(records: Sequence[Record]) -> str:
    """A sentence about the runs of the sweep files that are not on record."""
    known, runs = known_ids(records), planned()
    left = [each for each in runs if each not in known]
    if not left:
        return f"All {len(runs)} runs of the two sweep files are on record.\n"
    return f"**Not run yet**: {len(left)} of the {len(runs)} runs of the two sweep files. A dash is a run of these.\n"


@cache
def planned() -> dict[str, tuple[str, str]]:
    """(attack, method) of the runs of the sweep files, by id."""
    runs = [run for path in SWEEPS for run in plan_runs(read_sweep(path))]
    return {run.id: (attack_of(run.misbehaviour), method_of(run.about)) for run in runs}


if __name__ == "__main__":
    main()
