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
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from fedbrats.cli.arguments import own_names
from fedbrats.cli.output import follow, print_json, print_line, print_table
from fedbrats.data.cases.names import NO_OWN_NAMES, OwnNames
from fedbrats.data.cases.recognised import describe_layouts
from fedbrats.data.check.problems import (
    ERROR,
    KINDS,
    NOTE,
    WARNING,
    Problem,
)
from fedbrats.data.regions import CONVENTIONS, COVERAGE, get_convention

if TYPE_CHECKING:
    from fedbrats.data.check.checks import Examination
    from fedbrats.data.check.conventions import SettledConvention

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


def examine_cases(folder: Path, workers: int | None, own: OwnNames) -> list[Examination]:
    """Read every case below `folder`, or in the list that it is, with progress on standard error."""
    from fedbrats.data.cases.case import find_cases
    from fedbrats.data.check.checks import examine_case
    from fedbrats.data.parallel import map_in_processes

    cases = find_cases(folder, own)
    return list(follow(map_in_processes(examine_case, cases, workers), len(cases), "checking cases"))


def run(args: argparse.Namespace) -> int:
    """Check every case below the folder; returns 1 if there is an error, or with --strict a warning."""
    from fedbrats.data.check.left_over import find_left_over
    from fedbrats.data.check.survey import judge_cases

    start = time.monotonic()
    examinations = examine_cases(args.folder, args.workers, args.names)
    chosen = get_convention(args.convention) if args.convention else None
    left_over = find_left_over(args.folder, [examination.case for examination in examinations])
    settled, problems = judge_cases(examinations, chosen, left_over.notes)
    summary = {
        "folder": str(args.folder),
        "cases": len(examinations),
        "patients": len({examination.case.patient for examination in examinations}),
        "convention": settled.convention.name if settled else None,
        "convention_reason": settled.reason if settled else None,
        "seconds": round(time.monotonic() - start, 2),
        "errors": sum(problem.severity == ERROR for problem in problems),
        "warnings": sum(problem.severity == WARNING for problem in problems),
        "notes": sum(problem.severity == NOTE for problem in problems),
        "folders_without_case": left_over.folders,
    }
    if args.json:
        print_json({**summary, "problems": [asdict(problem) for problem in problems]})
    else:
        _print_report(problems, settled, summary)
    return 1 if summary["errors"] or (args.strict and summary["warnings"]) else 0


def _print_report(problems: list[Problem], settled: SettledConvention | None, summary: dict[str, object]) -> None:
    if problems:
        rows = [(p.case or "(data set)", Path(p.file).name, f"{p.severity}: {p.kind}", p.message) for p in problems]
        print_table(("case", "file", "problem", "what is wrong"), rows)
    print_line(
        f"label convention: {settled.convention}, {settled.reason}" if settled else "label convention: not settled"
    )
    counts = "{cases} case(s) of {patients} patient(s) in {seconds} s: {errors} error(s), {warnings} warning(s)"
    counts += ", {notes} note(s)" if summary["notes"] else ""
    print_line(counts.format(**summary))
