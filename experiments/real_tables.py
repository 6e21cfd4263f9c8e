"""Make docs/results/results.md, its picture and the tables of docs/results/overview.md from the lines of runs.

python experiments/real_tables.py
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fedbrats.admin.run.sweep import plan_runs, read_sweep
from fedbrats.report.markdown import markdown_table
from fedbrats.report.numbers.comparison import SEED
from fedbrats.report.numbers.method_table import name_of, new_hospitals, own_patients
from fedbrats.report.numbers.records import ALONE, CENTRALISED, Record, known_ids, read_records
from fedbrats.report.numbers.statistics import bootstrap_interval

HERE = Path(__file__).parent
RESULTS, DOCS = HERE / "results", HERE.parent / "docs" / "results"
MAIN, LEFT_OUT = HERE / "main.json", HERE / "left-out.json"
INSTITUTION = "institution"
BY_CHANCE = {"equal": "equal parts", "unequal": "unequal parts"}  # splits of main.json
WEIGHTS = "bad-site-weights.svg"
PLAIN = {"local_only": "each hospital alone", "centralised": "all data in one place", "fedavg": "FedAvg"}
ORDER = ("local_only", "centralised", "fedavg", "fine_tuned", "best_of")  # of a table's first rows
KINDS = {  # hospitals of the institution split; those of tcia-lgg are the only tumours of low grade
    "three larger, high grade": ("cbica-1", "cbica-2", "tcia-gbm"),
    "brats-2013: small, high grade": ("brats-2013",),
    "tcia-lgg: small, low grade": ("tcia-lgg",),
}
BEGIN, END = "<!-- made by experiments/real_tables.py: begin -->", "<!-- made by experiments/real_tables.py: end -->"


def main() -> None:
    """Write the page, its picture and the tables of the overview."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="(default: experiments/results)")
    parser.add_argument("--out", type=Path, default=DOCS / "results.md", help="(default: docs/results/results.md)")
    args = parser.parse_args()
    started = read_records(args.results / "from-phantoms" / "runs.jsonl")
    random = args.results / "from-random-weights"
    corrupted = json.loads((args.results / "corrupted.json").read_text())
    means = json.loads((args.results / "means.json").read_text())["rows"]
    longer = read_records(args.results / "longer" / "runs.jsonl")
    parts = [INTRODUCTION, *start_parts(started), *chance_parts(started), *longer_parts(longer), *mean_parts(means)]
    parts += [*random_parts(random), *corrupted_parts(corrupted)]
    draw_weights(corrupted["rows"], args.out.parent / WEIGHTS)
    args.out.write_text("\n".join(parts))
    overview = args.out.with_name("overview.md")  # whose tables are made too
    if overview.exists():
        overview.write_text(with_tables(overview.read_text(), "\n".join(overview_parts(started, longer))))


INTRODUCTION = """# Results on real cases

Made by `python experiments/real_tables.py` from the lines in `experiments/results`, which hold the scores of each
patient, as a number.

39 patients of BraTS 2018 and 2019 at 2 mm, and ten of BraTS 2021 whom nobody trained on. Two CPU cores.

- **Patients.** Each is tested by the model of the fold that did not train on that patient. A method with fewer patients
  has folds still to run; differences are on the patients that both methods have.
- **Intervals** are 95 % bootstrap intervals over patients, and over seeds where there are several. With one seed they
  do not contain the chance of the training itself. Below six patients there is none.
- **HD95** is in mm: the mean over regions, then the median over patients. A missed region counts 373 mm.
- **No untouched test set** among the 39. The defaults were chosen on these same patients ([tuning](tuning.md)), so
  every Dice is optimistic.
"""

START = """## From the start that ships

The jobs begin with the [first weights that ship](start.md), 640 steps at every hospital, five natural hospitals, in the
simulator. This is what fedbrats does by default. Dice of the hospitals' own patients:
"""


def start_parts(records: Sequence[Record]) -> Iterable[str]:
    """Tables of the runs that begin with the weights that ship."""
    everything, records = records, natural(records)
    yield START
    rows = [row_of(method, records) for method in methods_of(records)]
    yield table(
        (
            "trained by",
            "folds",
            "seeds",
            "patients",
            "Dice",
            "95 %",
            "WT",
            "TC",
            "ET",
            "lesion-wise",
            "HD95",
            "to alone",
            "95 %",
        ),
        [
            (
                *(row[key] for key in ("plain", "folds", "seeds", "patients", "dice")),
                interval(row["low"], row["high"]),
                *(row[key] for key in ("WT", "TC", "ET", "lesion_dice")),
                None if row["hd95_mm_median"] is None else f"{row['hd95_mm_median']:.1f}",
                signed(row["difference"]),
                interval(row["difference_low"], row["difference_high"], "+.3f"),
            )
            for row in rows
        ],
    )
    yield "At each hospital, over the folds that the method has:\n"
    yield hospital_table(rows)
    folds = sorted({record["fold"] for record in records if not record["left_out"]})
    yield "Fold by fold, over the patients of each:\n"
    yield table(
        ("trained by", *(f"fold {fold}" for fold in folds)),
        [(plain(method), *(dice_of(records, method, fold) for fold in folds)) for method in methods_of(records)],
    )
    yield "At a new hospital, whose patients nobody trained on:\n"
    yield outside_table(records)
    yield missing(everything)


CHANCE = """## Where hospitals are alike

The same patients, dealt to five hospitals by chance, from the same start and with as many steps. Dice of the hospitals'
own patients:
"""


def chance_parts(records: Sequence[Record]) -> Iterable[str]:
    """Tables of the splits by chance, from the weights that ship."""
    yield CHANCE
    for split, words in BY_CHANCE.items():
        if own := of_split(records, split):
            yield f"### Split into {words}\n"
            yield own_table(own)
            yield "At each hospital:\n"
            yield hospital_table([row_of(method, own) for method in methods_of(own)])
            yield "At a new hospital, whose patients nobody trained on:\n"
            yield outside_table(own)


LONGER = """## Trained four times as long

The split by institution from the start that ships, with 2560 steps at every hospital (128 rounds of 20). Command:
`fedbrats sweep experiments/longer.json CASES`. Dice of the hospitals' own patients:
"""


def longer_parts(records: Sequence[Record]) -> Iterable[str]:
    """Tables of the runs with four times as many rounds."""
    records = plain_longer(records)
    yield LONGER
    yield own_table(records)
    yield "At each hospital, over the folds that the method has:\n"
    yield hospital_table([row_of(method, records) for method in methods_of(records)])
    yield "At a new hospital, whose patients nobody trained on:\n"
    yield outside_table(records)


def plain_longer(records: Sequence[Record]) -> list[Record]:
    """The longer runs without what was asked of them: that is what longer.json asks of their method."""
    return [{**record, "settings": {}} for record in records]


def of_split(records: Sequence[Record], split: str) -> list[Record]:
    """The runs of one split."""
    return [record for record in records if record["split"] == split]


def natural(records: Sequence[Record]) -> list[Record]:
    """The runs of the split by institution."""
    return of_split(records, INSTITUTION)


def own_table(records: Sequence[Record]) -> str:
    """The methods of one split at the hospitals' own patients, beside training alone."""
    return table(
        ("trained by", "folds", "seeds", "patients", "Dice", "95 %", "to alone (95 %)", "of all data in one place",
         "hospitals above alone", "worst hospital, to alone"),
        [own_row(method, row_of(method, records), records) for method in methods_of(records)],
    )  # fmt: skip


def hospital_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The Dice at each hospital."""
    sites = sorted({site for row in rows for site in row["sites"]})
    return table(("trained by", *sites), [(row["plain"], *map(row["sites"].get, sites)) for row in rows])


def overview_parts(records: Sequence[Record], longer: Sequence[Record]) -> Iterable[str]:
    """The tables of the overview: own patients, own patients by kind of hospital, and a new hospital."""
    everything, records = records, natural(records)
    rows = [(method, row_of(method, records)) for method in methods_of(records)]
    yield "Own patients:\n"
    yield own_table(records)
    yield "The same by kind of hospital, each beside training alone on the same patients:\n"
    columns = [cell for kind in KINDS for cell in (kind, "alone")]
    others = [(method, row["plain"]) for method, row in rows if method != ALONE]
    yield table(("trained by", *columns), [(word, *kind_cells(method, records)) for method, word in others])
    yield "A new hospital:\n"
    yield outside_table(records)
    longer = plain_longer(longer)
    yield "Own patients, trained four times as long:\n"
    yield own_table(longer)
    yield "A new hospital, trained four times as long:\n"
    yield outside_table(longer)
    for split, words in BY_CHANCE.items():
        if own := of_split(everything, split):
            yield f"Own patients, where hospitals are alike: the same patients dealt by chance, in {words}:\n"
            yield own_table(own)
    yield missing(everything)


def own_row(method: str, row: Mapping[str, Any], records: Sequence[Record]) -> list[Any]:
    """A method over all its own patients."""
    ours, alone = by_hospital(method, records)
    gaps = {} if method == ALONE else {site: pooled(ours, [site]) - pooled(alone, [site]) for site in ours}
    worst = min(gaps, key=lambda site: gaps[site], default=None)
    ends = interval(row["difference_low"], row["difference_high"], "+.3f")
    return [
        *(row[key] for key in ("plain", "folds", "seeds", "patients", "dice")),
        interval(row["low"], row["high"]),
        None if row["difference"] is None else f"{row['difference']:+.3f} ({ends})",
        row["of_centralised"],
        f"{sum(gap > 0 for gap in gaps.values())} of {len(gaps)}" if gaps else None,
        f"{worst} {gaps[worst]:+.3f}" if worst else None,
    ]


def kind_cells(method: str, records: Sequence[Record]) -> list[float]:
    """A method at each kind of hospital, and training alone there."""
    both = by_hospital(method, records)
    return [pooled(each, sites) for sites in KINDS.values() for each in both]


def by_hospital(
    method: str, records: Sequence[Record], other: str = ALONE
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """(the method's Dice by hospital, that of another method there), on the folds and seeds that both have."""
    found: list[dict[str, list[float]]] = [{}, {}]
    runs = [
        {(r["fold"], r["seed"]): r for r in records if named(r) == name and not r["left_out"]}
        for name in (method, other)
    ]
    for by_site, own in zip(found, runs, strict=True):
        for place in sorted(runs[0].keys() & runs[1].keys()):
            for score in own[place]["patients"]:
                by_site.setdefault(score["site"], []).append(float(np.mean(list(score["dice"].values()))))
    return found[0], found[1]


def pooled(by_site: Mapping[str, Sequence[float]], sites: Iterable[str]) -> float:
    """The mean over the patients of some hospitals; NaN where they have none."""
    values = [value for site in sites for value in by_site.get(site, ())]
    return float(np.mean(values)) if values else math.nan


def row_of(method: str, records: Sequence[Record]) -> dict[str, Any]:
    """A method's row, with its difference to training alone on the folds and seeds that both have."""
    own = [record for record in records if named(record) == method and not record["left_out"]]
    row: dict[str, Any] = dict(own_patients(own)[0])
    alone = {(r["fold"], r["seed"]): r for r in records if named(r) == ALONE and not r["left_out"]}
    shared = [record for record in own if (record["fold"], record["seed"]) in alone]
    if method != ALONE and shared:
        pairs = [*shared, *(alone[record["fold"], record["seed"]] for record in shared)]
        compared = own_patients(pairs)[0]
        row |= {key: compared[key] for key in ("difference", "difference_low", "difference_high")}
        row["compared_folds"] = compared["folds"]
    ours, central = by_hospital(method, records, CENTRALISED)
    row["of_centralised"] = pooled(ours, ours) / pooled(central, central) if central else None
    return {**row, "plain": plain(method)}


def methods_of(records: Sequence[Record]) -> list[str]:
    """The methods, those of ORDER first."""
    found = list(dict.fromkeys(named(record) for record in records if not record["left_out"]))
    known = [method for method in ORDER if method in found]
    return [*known, *(method for method in found if method not in known)]


@cache
def usual_settings(method: str) -> Mapping[str, Any]:
    """What the main experiment asks of a method."""
    main = json.loads(MAIN.read_text())
    return {**main["variables"], **main["of_method"].get(method, {})}


def named(record: Record) -> str:
    """A method, with what was asked of this run beside what the main experiment asks."""
    return name_of({**record, "settings": short_settings(record)}, {})


def short_settings(record: Record) -> dict[str, Any]:
    """What was asked of a run beside what the main experiment asks of its method."""
    usual = usual_settings(record["method"])
    return {name: value for name, value in record["settings"].items() if usual.get(name) != value}


def plain(method: str) -> str:
    """In a reader's words."""
    word = next((word for word in PLAIN if method.startswith(word)), method.partition(" ")[0].rstrip(":"))
    return PLAIN.get(word, f"`{word}`") + method.removeprefix(word)


def dice_of(records: Sequence[Record], method: str, fold: int) -> float | None:
    """The mean Dice of a method on a fold, over seeds."""
    found = [r for r in records if (named(r), r["fold"]) == (method, fold) and not r["left_out"]]
    values = [np.mean(list(score["dice"].values())) for record in found for score in record["patients"]]
    return float(np.mean(values)) if values else None


def outside_table(records: Sequence[Record]) -> str:
    """The models at hospitals that nobody trained on."""
    return table(
        ("where", "model", "trainings", "patients", "Dice", "95 %"),
        [
            (
                *(row["where"], plain(row["model"]), row["runs"], row["patients"], row["dice"]),
                interval(row["low"], row["high"]),
            )
            for row in new_hospitals([{**record, "settings": short_settings(record)} for record in records])
        ],
    )


def missing(records: Sequence[Record]) -> str:
    """Sentences about the runs of the sweep files that are not on record."""
    known = known_ids(records)
    kinds: dict[str, dict[str, list[bool]]] = {}  # by kind of run and method: whether each run is on record
    for path in (MAIN, LEFT_OUT):
        for run in plan_runs(read_sweep(path)):
            kind = "a hospital left out" if run.left_out else f"{run.split}, seed {run.seed}"
            kinds.setdefault(kind, {}).setdefault(run.method, []).append(run.id in known)
    left = sum(not done for methods in kinds.values() for runs in methods.values() for done in runs)
    if not left:
        return "Every run of `experiments/main.json` and `experiments/left-out.json` is on record.\n"
    words = "; ".join(f"{kind}: {text}" for kind, methods in kinds.items() if (text := left_of(methods)))
    return f"**Not run yet**: {left} runs of `experiments/main.json` and `experiments/left-out.json` ({words}).\n"


def left_of(methods: Mapping[str, Sequence[bool]]) -> str:
    """The methods of a kind of run that have runs left, with how many where some are on record."""
    if not any(map(any, methods.values())):
        return "all"
    words = {method: f"{method} ({runs.count(False)} of {len(runs)})" for method, runs in methods.items() if any(runs)}
    return ", ".join(words.get(method, method) for method, runs in methods.items() if not all(runs))


MEANS = """## Means of the probabilities of several models

A hospital may predict with several models, and take the mean of their probabilities. `own` is its model of
`local_only`, `fitted` and `common` are its model and the shared one of `fine_tuned`, of the runs above with seed 0.
Made by `experiments/means.py`. Dice of the hospitals' own patients:
"""


def mean_parts(rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    """The table of means, each beside the own model on the same patients."""
    yield MEANS
    dice = {(r["models"], r["fold"], r["site"], r["patient"]): float(np.mean(list(r["dice"].values()))) for r in rows}
    folds = sorted({fold for _, fold, _, _ in dice})
    yield table(
        (
            "mean of",
            *(f"fold {fold}" for fold in folds),
            "all",
            "to own",
            "95 %",
            "hospitals above own",
            "worst, to own",
        ),
        [mean_row(models, folds, dice) for models in dict.fromkeys(r["models"] for r in rows)],
    )


def mean_row(models: str, folds: Sequence[int], dice: Mapping[tuple[str, int, str, int], float]) -> list[Any]:
    """A mean: its Dice by fold, and its differences to the own model."""
    ours = {place[1:]: value for place, value in dice.items() if place[0] == models}
    values = [[value for place, value in ours.items() if place[0] == fold] for fold in folds]
    by_fold = [float(np.mean(each)) if each else None for each in values]
    row = [models, *by_fold, float(np.mean(list(ours.values())))]
    if models == "own":
        return [*row, None, None, None, None]
    gains: dict[str, list[float]] = {}
    for (fold, site, patient), value in ours.items():
        gains.setdefault(site, []).append(value - dice["own", fold, site, patient])
    every = np.array([gain for site in sorted(gains) for gain in gains[site]])
    ends = bootstrap_interval(every, SEED)
    worst = min(gains, key=lambda site: pooled(gains, [site]))
    above = f"{sum(pooled(gains, [site]) > 0 for site in gains)} of {len(gains)}"
    cells = signed(float(every.mean())), interval(ends.low, ends.high, "+.3f"), above
    return [*row, *cells, f"{worst} {pooled(gains, [worst]):+.3f}"]


RANDOM = """## Before the start that ships

These older runs begin with random weights (`start=none`), 8 rounds of 80 steps in FLARE POC, one seed. No
recommendation rests on them. They stay, because they alone compare all methods on three splits and three folds.
Command: `fedbrats sweep experiments/eight-rounds.json CASES`.
"""


def random_parts(folder: Path) -> Iterable[str]:
    """Tables of the runs that begin with random weights."""
    yield RANDOM
    records = read_records(folder / "eight-rounds.jsonl")
    for split in sorted({record["split"] for record in records}):
        yield f"### Split {'by institution' if split == 'institution' else f'into {split} parts'}\n"
        yield from method_tables([record for record in records if record["split"] == split])
    command = "fedbrats sweep experiments/sixteen-rounds.json CASES"
    yield f"### Trained for longer\n\nThe unequal split with 16 rounds. Command: `{command}`.\n"
    yield from method_tables(read_records(folder / "sixteen-rounds.jsonl"))


def method_tables(records: Sequence[Record]) -> Iterable[str]:
    """The methods of a split in a row each, over all patients and at each site."""
    rows = sorted(own_patients(records), key=lambda row: -row["dice"])
    sites = sorted({site for row in rows for site in row["sites"]})
    columns = ("trained by", "patients", "Dice", "95 %", "WT", "TC", "ET", "IoU", "HD95", "of centralised", "to alone")
    yield table(
        columns,
        [
            (
                *(row[key] for key in ("method", "patients", "dice")),
                interval(row["low"], row["high"]),
                *(row[key] for key in ("WT", "TC", "ET", "iou")),
                None if row["hd95_mm_median"] is None else f"{row['hd95_mm_median']:.1f}",
                row["of_centralised"],
                None
                if row["difference"] is None
                else f"{row['difference']:+.3f} ({interval(row['difference_low'], row['difference_high'], '+.3f')})",
            )
            for row in rows
        ],
    )
    yield "Dice at each site:\n"
    yield table(("trained by", *sites), [(row["method"], *map(row["sites"].get, sites)) for row in rows])


def with_tables(page: str, tables: str) -> str:
    """A page with its made part replaced. Raises: ValueError where the page has no place for it."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place for tables, between {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables}\n{END}{after}"


def interval(low: float | None, high: float | None, form: str = ".3f") -> str | None:
    """The ends of an interval, as a cell."""
    return None if low is None else f"{low:{form}} to {high:{form}}"


def signed(value: float | None) -> str | None:
    """A difference, as a cell."""
    return None if value is None else f"{value:+.3f}"


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


def last_weight(row: dict[str, Any] | None, key: str = "bad_site_weights") -> float | None:
    """The last weight, or influence, over the prior."""
    if not row or not row[key] or row[key][-1] is None:
        return None
    return float(row[key][-1] / row["bad_site_prior"])


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table with the three digits behind the point that 39 patients can tell."""
    return markdown_table(columns, rows, ".3f")


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
