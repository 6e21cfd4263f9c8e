"""Make docs/results/results.md and its pictures from the results files.

python experiments/real_tables.py
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fedbrats.report.markdown import markdown_table

HERE, RUNS = Path(__file__).parent, "runs.jsonl"
RESULTS, DOCS = HERE / "results", HERE.parent / "docs" / "results"
OTHERS = {"fedavg": "FedAvg", "local_only": "each site alone", "centralised": "centralised"}
WEIGHTS, CURVES = "bad-site-weights.svg", "training-curves.svg"


def main() -> None:
    """Write the page and its pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="(default: experiments/results)")
    parser.add_argument("--out", type=Path, default=DOCS / "results.md", help="(default: docs/results/results.md)")
    args = parser.parse_args()
    summary = json.loads((args.results / "summary.json").read_text())
    tested = max(row["patients"] for row in summary["rows"])
    parts = ["# Results on real cases\n", INTRODUCTION.format(tested=tested, **summary), *summary_parts(summary)]
    longer_path = args.results / "longer" / "summary.json"
    if longer_path.exists():
        longer = json.loads(longer_path.read_text())
        parts += [LONGER.format(**longer), *longer_parts(longer, summary)]
    corrupted_path = args.results / "corrupted.json"
    if corrupted_path.exists():
        corrupted = json.loads(corrupted_path.read_text())
        parts += corrupted_parts(corrupted)
        draw_weights(corrupted["rows"], args.out.parent / WEIGHTS)
    draw_curves([json.loads(line) for line in (args.results / RUNS).read_text().splitlines()], args.out.parent / CURVES)
    args.out.write_text("\n".join(parts))


INTRODUCTION = """Made by `python experiments/real_tables.py` from the files in `experiments/results`.

{tested} of 39 patients of BraTS 2018 and 2019 at 2 mm, in {engine}, {machine}, torch {torch}, seed {seed}.
Command: `{command}`.

- **Patients.** Each is tested once, by the model of the fold that did not train on that patient. A method with fewer
  patients still has folds to run, and is not compared.
- **Intervals** are 95 % bootstrap intervals over patients. There is one seed, so they do not contain the chance of the
  training itself.
- **Ties.** Two methods are a tie if the interval of their difference contains 0, or if a permutation test does not
  reject.
- **HD95** is in mm: the mean over regions, then the median over patients. A missed region counts 373 mm. For the oldest
  runs it was measured later, with their kept models; their Dice was the same to six digits.
- **Scores of each patient** are in `experiments/results/runs.jsonl`.
- **No untouched test set.** The defaults were chosen on these same patients ([tuning](tuning.md)): on folds 1 and 2,
  and on fold 0 where that page says so. All methods share the defaults, so comparisons are fair, but every Dice is
  optimistic.

![Learning curves](training-curves.svg)
"""


def summary_parts(summary: dict[str, Any]) -> Iterable[str]:
    """Tables of every split: all methods, every site, and what serves each site best."""
    for split in sorted({row["split"] for row in summary["rows"]}):
        rows = sorted((r for r in summary["rows"] if r["split"] == split), key=lambda row: -row["dice_mean"])
        yield f"## Split by {split}\n" if split == "institution" else f"## Split into {split} parts\n"
        yield from method_tables(rows)
        yield "Differences on the same patients, with a paired bootstrap interval:\n"
        yield table(
            ("trained by", *(word for other in OTHERS.values() for word in (f"to {other}", "95 %", "tie"))),
            [(row["method"], *(c for o in OTHERS for c in difference(row[f"against_{o}"]))) for row in rows],
        )
        best = summary["best_for_each_site"].get(split, {})
        yield "The best method for each site, chosen on these same patients (so a little optimistic):\n"
        yield table(
            ("site", "best", "alone", "federated", "personal"),
            [(site, each["serves_best"], *(choice(each, k) for k in ("local", "federated", "personal")))
             for site, each in best.items()],
        )  # fmt: skip


def method_tables(rows: Sequence[dict[str, Any]]) -> Iterable[str]:
    """The methods of a split in a row each, over all patients and at each site."""
    sites = sorted({site for row in rows for site in row["per_site"]})
    yield table(
        ("trained by", "patients", "Dice", "95 %", "WT", "TC", "ET", "IoU", "HD95", "worst site", "of centralised"),
        [
            (
                row["method"],
                row["patients"],
                row["dice_mean"],
                f"{row['dice_low']:.3f} to {row['dice_high']:.3f}",
                *(row[f"dice_{region}"] for region in ("WT", "TC", "ET")),
                row["iou_mean"],
                f"{row['hd95_median']:.1f}" if "hd95_median" in row else None,
                row["worst_site_dice"],
                row["ratio_to_centralised"],
            )
            for row in rows
        ],
    )
    yield "Dice at each site:\n"
    yield table(("trained by", *sites), [(row["method"], *map(row["per_site"].get, sites)) for row in rows])


LONGER = """## Trained for longer

The same patients, folds and seed with more rounds, to see how much the budget decides. Command: `{command}`.
"""


def longer_parts(longer: dict[str, Any], summary: dict[str, Any]) -> Iterable[str]:
    """Methods with more rounds, and with those of the other tables."""
    before = {(row["split"], row["method"]): row for row in summary["rows"]}
    for split in sorted({row["split"] for row in longer["rows"]}):
        rows = sorted((r for r in longer["rows"] if r["split"] == split), key=lambda row: -row["dice_mean"])
        yield f"The {split} split:\n"
        yield from method_tables(rows)
        yield "Beside the shorter trainings:\n"
        yield table(
            ("trained by", "Dice before", "Dice", "of centralised before", "of centralised"),
            [
                (row["method"], *(each[key] for key in ("dice_mean", "ratio_to_centralised") for each in (old, row)))
                for row in rows
                if (old := before.get((split, row["method"])))
            ],
        )


def corrupted_parts(corrupted: dict[str, Any]) -> Iterable[str]:
    """The table of one bad site."""
    rows = corrupted["rows"]
    bad = rows[0]["bad_site"]
    yield f"## One bad site\n\n{bad} harms the others. Command: `{corrupted['command']}`.\n"
    yield "Dice of the honest sites' patients, fold 0:\n"
    methods = list(dict.fromkeys(row["method"] for row in rows))
    kinds = list(dict.fromkeys(row["corruption"] for row in rows))
    found = {(row["corruption"], row["method"]): row for row in rows}
    yield table(
        ("what it does", *methods),
        [(kind, *(found.get((kind, m), {}).get("honest_dice_mean") for m in methods)) for kind in kinds],
    )
    yield f"Weight of {bad} in the last round, over its prior:\n"
    weighing = [
        m for m in methods if any(found[k, m]["bad_site_weights"][-1] is not None for k in kinds if (k, m) in found)
    ]
    yield table(
        ("what it does", *weighing), [(kind, *(last_weight(found.get((kind, m))) for m in weighing)) for kind in kinds]
    )
    yield "Influence is the weight after clipping; it falls where updates are scaled, whose weight stays:\n"
    yield table(
        ("what it does", "influence of the factor's last round, over the prior"),
        [(kind, last_weight(found.get((kind, "contribution")), "bad_site_influence")) for kind in kinds],
    )
    yield f"![Weight of the bad site over the rounds]({WEIGHTS})\n"


def difference(found: dict[str, Any] | None) -> tuple[Any, ...]:
    """A paired difference as cells."""
    if not found:
        return None, None, None
    return found["mean"], f"{found['low']:+.3f} to {found['high']:+.3f}", "yes" if found["tie"] else "no"


def choice(each: dict[str, Any], kind: str) -> str | None:
    """The best of a kind, as a cell."""
    return f"{each[kind]['dice']:.3f} ({each[kind]['method']})" if kind in each else None


def last_weight(row: dict[str, Any] | None, key: str = "bad_site_weights") -> float | None:
    """The last weight, or influence, over the prior."""
    if not row or not row[key] or row[key][-1] is None:
        return None
    return float(row[key][-1] / row["bad_site_prior"])


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table with the three digits behind the point that 39 patients can tell."""
    return markdown_table(columns, rows, ".3f")


def draw_curves(runs: Sequence[dict[str, Any]], path: Path) -> None:
    """Mean validation Dice of what every round began with, over the patients of all folds: a panel a split."""
    plt = pyplot()
    splits = sorted({run["split"] for run in runs})
    figure, panels = plt.subplots(1, len(splits), figsize=(6 * len(splits), 4.5), sharey=True, squeeze=False)
    methods = list(dict.fromkeys(run["method"] for run in runs))  # of one colour in all panels
    for panel, split in zip(panels[0], splits, strict=True):
        own = {method: [run for run in runs if (run["split"], run["method"]) == (split, method)] for method in methods}
        most = max(len(folds) for folds in own.values())
        for number, (method, folds) in enumerate(own.items()):
            if len(folds) < most:
                continue  # other patients: not to be compared
            weights = [len(run["patients"]) for run in folds]
            rounds = zip(*(run["curve"] for run in folds), strict=False)
            curve = [sum(d * w for d, w in zip(dice, weights, strict=True)) / sum(weights) for dice in rounds]
            style = "-" if number < 10 else "--"
            panel.plot(range(len(curve)), curve, style, color=f"C{number % 10}", marker=".", label=method)
        panel.set(title=f"split by {split}" if split == "institution" else f"{split} split", xlabel="rounds done")
        panel.set_xlim(left=0.8)  # before the first round all are at 0.03
        panel.set_ylim(bottom=0.45)
        panel.legend(frameon=False, fontsize="small", loc="lower right")
    panels[0][0].set_ylabel("mean validation Dice")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def pyplot() -> Any:
    """Matplotlib's pyplot, set up so that the same numbers make the same file."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "fedbrats"
    from matplotlib import pyplot as plt

    return plt


def draw_weights(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """The bad site's weight over its prior, round by round: a panel for each way to do harm."""
    plt = pyplot()
    kinds = [kind for kind in dict.fromkeys(row["corruption"] for row in rows) if kind != "none"]
    figure, panels = plt.subplots(1, len(kinds), figsize=(3 * len(kinds), 3), sharey=True, squeeze=False)
    for panel, kind in zip(panels[0], kinds, strict=True):
        for row in rows:
            weights = row["bad_site_weights"]
            if row["corruption"] == kind and weights and None not in weights:
                panel.plot([weight / row["bad_site_prior"] for weight in weights], marker=".", label=row["method"])
        panel.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
        panel.set(title=kind, xlabel="round")
    panels[0][0].set_ylim(bottom=0)  # of all panels, once all are drawn
    panels[0][0].set_ylabel("weight of the bad site / prior")
    panels[0][0].legend(frameon=False, fontsize="small")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
