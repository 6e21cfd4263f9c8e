"""Find every case in a folder, or in a list, and report what is wrong with it.

What you need: the four modalities T1, T1ce (with contrast agent), T2 and FLAIR of each case as NIfTI, co-registered on
one grid, skull-stripped (0 outside the brain), and for training a segmentation on that grid. One patient may have
several cases. docs/guide/own-data.md says how to get there.

DATA is a folder, with cases in subfolders of any depth, or a list of cases (.csv, .json). The names below are
recognised. --names says what yours are called, a role and a part of the name each: t1, t1ce, t2, flair, seg. Files and
folders that were not taken are named with the reason.

The label value of enhancing tumour depends on the BraTS year. It is worked out from all segmentations together and
printed; if they do not show it, give --convention.

Exit status: 0 there is no error, 1 there is one, or with --strict a warning, 2 the arguments are wrong. `fedbrats
split` leaves a case with an error out. Look at a case with a warning. A note is information only.

--json prints: folder, cases, patients, convention (null: not settled), convention_reason, seconds, errors, warnings,
notes, folders_without_case and problems, a list of {case, file, kind, severity, message}; case is empty where the
problem concerns the whole data set.

examples: fedbrats check ~/BraTS2021_Training_Data --json > problems.json
          fedbrats check ~/patients --names t1ce=T1_KM,flair=dark-fluid
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fedbrats.api import cases as api
from fedbrats.cli.arguments import own_names
from fedbrats.cli.output import print_json, print_line, print_table
from fedbrats.cli.progress import steps
from fedbrats.data.cases.names import NO_OWN_NAMES
from fedbrats.data.cases.recognised import describe_layouts
from fedbrats.data.check.problems import KINDS, NOTE, WARNING
from fedbrats.data.regions import CONVENTIONS, COVERAGE

EXPLAINED = "; ".join(f"{convention} for {COVERAGE[name]}" for name, convention in CONVENTIONS.items())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `fedbrats check`."""
    add_data_argument(parser)
    add_case_arguments(parser)
    parser.add_argument("--strict", action="store_true", help="end with exit status 1 after a warning too")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    width = max(map(len, KINDS))
    kinds = "\n".join(f"  {name:{width}}  {kind.severity:7}  {kind.meaning}" for name, kind in KINDS.items())
    parser.epilog = f"names that are recognised:\n{describe_layouts()}\n\nkinds of problems:\n{kinds}"


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """Declare DATA."""
    parser.add_argument(
        "folder", type=Path, metavar="DATA", help="a folder with cases somewhere below it, or a list of cases"
    )


def add_names_argument(parser: argparse.ArgumentParser) -> None:
    """Declare a hospital's own names."""
    parser.add_argument(
        "--names",
        type=own_names,
        default=NO_OWN_NAMES,
        metavar="ROLE=NAME,...",
        help="what your files are called, such as t1ce=T1_KM,flair=dark-fluid; ROLE is t1, t1ce, t2, flair or seg",
    )


def add_case_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what every command that reads whole data sets takes."""
    parser.add_argument(
        "--convention",
        choices=sorted(CONVENTIONS),
        help=f"what label values mean, where names, labels and anatomy do not agree: {EXPLAINED}",
    )
    add_names_argument(parser)
    parser.add_argument("--workers", type=int, help="processes that read cases (default: one per core)")


def run(args: argparse.Namespace) -> int:
    """Check every case below the folder; returns 1 if there is an error, or with --strict a warning."""
    with steps() as progress:
        found = api.check(
            args.folder, convention=args.convention, names=args.names, workers=args.workers, progress=progress
        )
    if args.json:
        print_json(found.as_document())
    else:
        _print_report(found)
    return 1 if not found.is_sound or (args.strict and found.count(WARNING)) else 0


def _print_report(found: api.Check) -> None:
    if found.problems:
        rows = [
            (p.case or "(data set)", Path(p.file).name, f"{p.severity}: {p.kind}", p.message) for p in found.problems
        ]
        print_table(("case", "file", "problem", "what is wrong"), rows)
    print_line(
        f"label convention: {found.convention}, {found.convention_reason}"
        if found.convention
        else "label convention: not settled"
    )
    counts = "{cases} case(s) of {patients} patient(s) in {seconds} s: {errors} error(s), {warnings} warning(s)"
    counts += ", {notes} note(s)" if found.count(NOTE) else ""
    print_line(counts.format(**found.as_document()))
