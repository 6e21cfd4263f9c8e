"""Find every BraTS case in a folder and report what is wrong with it.

Finds the file names of BraTS 2017 to 2024 in subfolders of any depth. The label value of enhancing tumour depends on
the BraTS year. It is worked out from all segmentations together and printed; if they do not show it, give --convention.

Exit status: 0 nothing is wrong, 1 there are errors or warnings. `fedbrats split` leaves a case with an error out. Look
at a case with a warning. A note is information only.

--json prints: folder, cases, patients, convention (null: not settled), convention_reason, seconds, errors, warnings,
notes and problems, a list of {case, file, kind, severity, message}; case is empty where the problem concerns the whole
data set.

example: fedbrats check ~/BraTS2021_Training_Data --json > problems.json
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from fedbrats.cli.output import follow, print_json, print_line, print_table
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
    parser.add_argument("folder", type=Path, help="a folder with BraTS cases somewhere below it")
    add_case_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    width = max(map(len, KINDS))
    kinds = "\n".join(f"  {name:{width}}  {kind.severity:7}  {kind.meaning}" for name, kind in KINDS.items())
    parser.epilog = f"kinds of problems:\n{kinds}"


def add_case_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what every command that reads whole data sets takes."""
    parser.add_argument(
        "--convention",
        choices=sorted(CONVENTIONS),
        help=f"what label values mean, where names, labels and anatomy do not agree: {EXPLAINED}",
    )
    parser.add_argument("--workers", type=int, help="processes that read cases (default: one per core)")


def examine_cases(folder: Path, workers: int | None) -> list[Examination]:
    """Read every case below `folder`, with progress on standard error."""
    from fedbrats.data.cases.case import find_cases
    from fedbrats.data.check.checks import examine_case
    from fedbrats.data.parallel import map_in_processes

    cases = find_cases(folder)
    return list(follow(map_in_processes(examine_case, cases, workers), len(cases), "checking cases"))


def run(args: argparse.Namespace) -> int:
    """Check every case below the folder; returns 1 if there is an error or a warning."""
    from fedbrats.data.cases.layout import find_passed_over
    from fedbrats.data.check.survey import judge_cases

    start = time.monotonic()
    examinations = examine_cases(args.folder, args.workers)
    chosen = get_convention(args.convention) if args.convention else None
    used = (path for e in examinations for path in (*e.case.files.values(), *sum(e.case.doubled.values(), ())))
    settled, problems = judge_cases(examinations, chosen, find_passed_over(args.folder, used))
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
    }
    if args.json:
        print_json({**summary, "problems": [asdict(problem) for problem in problems]})
    else:
        _print_report(problems, settled, summary)
    return 1 if any(problem.severity != NOTE for problem in problems) else 0


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
