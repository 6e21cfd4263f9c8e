"""Divide a data set into one folder per site, each with a datalist of training, validation and test cases.

Checks the cases first, as `fedbrats check` does. Leaves cases with errors or without a segmentation out, and prints
why. All cases of a patient go to one section of one site; a patient is recognised by name, by --patient or by identical
images. DIR/split.json records how the sites were made. The same arguments make the same sites.

Validation is by patients. A site of six patients or more validates on two at least. A site that validates on fewer, or
on none, is named.

Exit status: 0 the sites are there, 1 they are not, or with --strict there was a warning, 2 the arguments are wrong.

--json prints: out, convention, convention_reason, sites (name -> cases, patients, training, validation, test,
tumour_ml, grades), dropped (case -> reason), remarks on the numbers ({severity, message}) and findings, as the
problems of `fedbrats check --json`.

examples: fedbrats split BraTS2020 --sites 5 --by unequal --out sites
          fedbrats split BraTS2020 --by name_mapping.csv:Grade --fold 0 --folds 5 --out sites-fold-0
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fedbrats.api import cases as api
from fedbrats.cli.arguments import number, whole_number
from fedbrats.cli.cases.check import add_case_arguments, add_data_argument
from fedbrats.cli.output import print_json, print_line, print_table
from fedbrats.cli.progress import steps
from fedbrats.data.cases import patients
from fedbrats.data.split import identity, schemes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `fedbrats split`."""
    add_data_argument(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the sites folder to make")
    parser.add_argument(
        "--by", default="equal", metavar="SCHEME", help="how to divide the cases, see below (default: equal)"
    )
    parser.add_argument(
        "--sites", type=int, help="number of sites; institution, grade and tables join the smallest as `others`"
    )
    parser.add_argument("--seed", type=whole_number(0), default=0, help="seed of all random choices (default: 0)")
    parser.add_argument("--fold", type=int, metavar="K", help="use fold K of each site as its validation cases")
    parser.add_argument("--folds", type=int, default=3, metavar="N", help="number of folds (default: 3)")
    parser.add_argument(
        "--validation-share", type=number, default=0.2, help="share for validation, without --fold (default: 0.2)"
    )
    parser.add_argument(
        "--test-share", type=number, default=0.0, help="share for testing, the same in each fold (default: 0)"
    )
    parser.add_argument(
        "--patient",
        metavar="WHO",
        help="how to recognise patients, see below (default: by name, or a table's column `patient`)",
    )
    files = parser.add_mutually_exclusive_group()
    files.add_argument("--link", action="store_true", help="make links to the files of the cases (default)")
    files.add_argument("--copy", action="store_true", help="copy the files of the cases")
    parser.add_argument("--force", action="store_true", help="replace an existing sites folder")
    add_case_arguments(parser)
    parser.add_argument("--strict", action="store_true", help="end with exit status 1 after a warning")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    parser.epilog = "\n\n".join(filter(None, (schemes.__doc__, patients.__doc__, identity.__doc__)))


def run(args: argparse.Namespace) -> int:
    """Make the sites, print what went where."""
    with steps() as progress:
        made = api.split(
            args.folder,
            args.out,
            by=args.by,
            sites=args.sites,
            seed=args.seed,
            fold=args.fold,
            folds=args.folds,
            validation_share=args.validation_share,
            test_share=args.test_share,
            patient=args.patient,
            copy=args.copy,
            force=args.force,
            convention=args.convention,
            names=args.names,
            workers=args.workers,
            progress=progress,
        )
    if args.json:
        print_json(made.as_document())
    else:
        _print_report(made)
    return 1 if args.strict and made.has_warnings else 0


def _print_report(made: api.Sites) -> None:
    columns = ("site", "cases", "patients", "training", "validation", "test", "tumour mL", "grades")
    rows = [
        (name, *(site[key] for key in columns[1:6]), site["tumour_ml"], "+".join(site["grades"]) or None)
        for name, site in made.sites.items()
    ]
    print_table(columns, rows)
    for case, reason in (made.dropped or {}).items():
        print_line(f"left out: {case}: {reason}")
    print_line(f"label convention: {made.convention}, {made.convention_reason}")
    print_line(f"wrote {made.folder}")
