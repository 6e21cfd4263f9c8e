"""Predict the tumour regions of cases: a label map on each scan's own grid, volumes in mL, and a picture.

CASES is a case folder or a folder of cases. A segmentation is not needed and not used; if there is one, the picture
shows it. Each case is checked first. A case that cannot be predicted safely is refused with the reason, and the others
go on.

For every case DIR gets CASE_prediction.nii.gz (on the grid of the case's T1, marked as a prediction),
CASE_prediction.seg.nrrd (the same for 3D Slicer, with names and colours), CASE_overlay.png (three planes through the
tumour) and, with --probabilities, CASE_probability_WT.nii.gz and so on. For all cases together it gets volumes.csv,
predictions.json and labels_itksnap.txt. The first two are written again after each case, so that a command that ends
early leaves what it has done. A second run with the same model adds its cases; with another model it is refused.

Several models are an ensemble: the mean of their probabilities. --personal SITE lays a site's own weights over a model.

--json prints: model, sha256, convention, labels, cases, a list of {case, prediction, slicer, overlay, volumes_ml,
seconds, look, warnings} (with --force also forced: why it would be refused) or, where a case was refused, {case,
refused}, findings (as the problems of `fedbrats check --json`), and unreached: the number of cases that were not
reached. `look` says why a person should look at a case. predictions.json has the same, with the cases of earlier runs.

Exit status: 0 every case was predicted, 1 some cases were refused, or predicted with --force although they are not safe
to predict (standard error says why).

Research software, not a medical device: its output may not guide the care of a patient.

example:
  fedbrats predict latest ~/BraTS2021_Validation --out predictions
  fedbrats predict results/fedavg case_folder --out predictions --convention brats-2023 --flips --probabilities
  fedbrats predict fold-0/model.pt fold-1/model.pt fold-2/model.pt case_folder --out predictions
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedbrats.api.prediction import predict
from fedbrats.cli.cases.check import add_names_argument
from fedbrats.cli.model_arguments import add_model_arguments, asked_of_model
from fedbrats.cli.output import print_json, print_line, print_table
from fedbrats.cli.progress import steps
from fedbrats.data.regions import BRATS_2018, CONVENTIONS, REGIONS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_model_arguments(parser)
    parser.add_argument("cases", type=Path, metavar="CASES", help="a case folder or a folder of cases")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of what is written")
    parser.add_argument(
        "--convention",
        choices=sorted(CONVENTIONS),
        help="label values to write (default: those of the segmentations that are there, else as the data set of these "
        f"case names has them, else {BRATS_2018})",
    )
    add_names_argument(parser)
    parser.add_argument("--probabilities", action="store_true", help="also write a probability map for each region")
    parser.add_argument("--no-overlays", dest="overlays", action="store_false", help="draw no pictures")
    parser.add_argument("--force", action="store_true", help="predict what is refused too, where that can be done")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")


def run(args: argparse.Namespace) -> int:
    """Check, predict, write, list."""
    with steps(is_table=not args.json) as progress:
        found = predict(
            args.model,
            args.cases,
            args.out,
            **asked_of_model(args),
            convention=args.convention,
            names=args.names,
            probabilities=args.probabilities,
            overlays=args.overlays,
            force=args.force,
            progress=progress,
        )
    entries = found.document["cases"]
    if args.json:
        print_json(found.document)
    else:
        _print_entries(entries, args.out)
        print_line(f"labels in the masks: {found.convention.written} (convention {found.convention.name})")
    return 1 if any("refused" in entry or "forced" in entry for entry in entries) else 0


def _print_entries(entries: Sequence[dict[str, Any]], out: Path) -> None:
    """The cases that a person should look at first."""
    rows = []
    for entry in sorted(entries, key=lambda each: ("refused" not in each, not each.get("look"))):
        volumes = entry.get("volumes_ml", {})
        rows.append((entry["case"], *(volumes.get(region) for region in REGIONS), entry.get("seconds"), _remark(entry)))
    print_table(("case", "WT mL", "TC mL", "ET mL", "seconds", "remarks"), rows)
    print_line(f"wrote {out}")


def _remark(entry: dict[str, Any]) -> str:
    if "refused" in entry:
        return f"refused: {entry['refused']}"
    look = [f"look at this one: {text}" for text in entry["look"]]
    return "; ".join([*look, *entry["warnings"]])
