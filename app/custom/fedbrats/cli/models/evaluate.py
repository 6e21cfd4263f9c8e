"""Score a model on cases that have segmentations, on each scan's own grid.

For each region and case: Dice, IoU, lesion-wise Dice and normalised surface Dice at 0.5, 1 and 2 mm (as BraTS ranks
since 2023; a tolerance under half a voxel gives none), HD95 (mm), sensitivity, specificity and volume difference (mL).
Over patients: the mean with its 95 % bootstrap interval (below six patients their values instead), the median, the
worst site, and the gap between the best and the worst site. If neither truth nor prediction has a region, every Dice is
1 and its HD95 is 0. If only one of them has it, every Dice is 0 and its HD95 is 373.13 mm.

MODEL is a results folder (its final model is taken) or a file such as RESULTS/best_model.pt. A model of a method with
personal weights needs the part of one site: --personal. DATA is a sites folder, site folders, or a folder of BraTS
cases, which counts as one site. The cases of such a folder are checked first, as `fedbrats check` does: a case with an
error, whose score would be wrong, is left out with the reason, or scored with --force. The cases of a sites folder were
checked by `fedbrats split`.

--json prints: model, sha256, section, cases, patients, empty_region_rule, metrics (metric -> region -> mean, low, high,
median, patients, sites, worst_site, gap), scores (one per case), findings (as the problems of `fedbrats check --json`),
rejected and forced (lists of {site, case, reason}), and unreached: the number of cases that were not reached because
the command ended early. --out writes the same as evaluation.json, and evaluation.csv with one row per case and region;
`fedbrats report` shows it if DIR is a results folder. A command that ends early writes what it has scored.

Exit status: 0 every case was scored, 1 some cases were not, or were scored with --force although they are not safe to
score (standard error says why).

example:
  fedbrats evaluate results/fedavg-20260101-120000 sites --section test --out results/fedavg-20260101-120000
  fedbrats evaluate results/fedper sites/north --personal north --json
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from fedbrats.api.evaluation import SECTIONS, evaluate
from fedbrats.cli.cases.check import add_names_argument
from fedbrats.cli.model_arguments import add_model_arguments, asked_of_model
from fedbrats.cli.output import print_json, print_line, print_table
from fedbrats.cli.progress import steps
from fedbrats.data.regions import CONVENTIONS
from fedbrats.run_folder import final_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_model_arguments(parser)
    parser.add_argument("data", nargs="+", type=Path, metavar="DATA", help="a sites folder, site folders, or cases")
    parser.add_argument(
        "--section", choices=SECTIONS, default="validation", help="section of the datalists (default: validation)"
    )
    parser.add_argument(
        "--convention",
        choices=sorted(CONVENTIONS),
        help="meaning of the label values of cases without a datalist, if unclear",
    )
    add_names_argument(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="write evaluation.json and evaluation.csv there")
    parser.add_argument("--force", action="store_true", help="score cases too that are not safe to score")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")


def run(args: argparse.Namespace) -> int:
    """Score every case, save, print."""
    models, data = _part(args.model, args.data)
    with steps() as progress:
        found = evaluate(
            models,
            data,
            **asked_of_model(args),
            section=args.section,
            convention=args.convention,
            names=args.names,
            out=args.out,
            force=args.force,
            progress=progress,
        )
    if args.json:
        print_json(found.document)
    else:
        _print_metrics(found.document)
    return 1 if found.rejected or found.forced else 0


def _part(models: Sequence[Path], data: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The words MODEL and DATA as they are meant: argparse gives all but the last to the first of the two."""
    words = [*models, *data]
    more = sum(1 for _ in takewhile(final_model, words[1:-1]))
    return words[: 1 + more], words[1 + more :]


def _print_metrics(document: dict[str, Any]) -> None:
    from fedbrats.report.numbers.evaluation import show_interval

    rows = []
    for metric, regions in document["metrics"].items():
        for region, found in regions.items():
            if found:
                interval = show_interval(found)
                gap = found["gap"]
                rows.append((metric, region, found["mean"], interval, found["median"], found["worst_site"], gap))
    print_table(("metric", "region", "mean", "95 % interval", "median", "worst site", "gap"), rows)
    print_line(f"{document['cases']} case(s) of {document['patients']} patient(s); {document['empty_region_rule']}")
