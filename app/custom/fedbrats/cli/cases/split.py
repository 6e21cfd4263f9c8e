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
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.cli.arguments import number, whole_number
from fedbrats.cli.cases.check import add_case_arguments, add_data_argument, examine_cases
from fedbrats.cli.cases.findings import as_documents, tell_findings
from fedbrats.cli.output import print_json, print_line, print_table
from fedbrats.cli.progress import say
from fedbrats.data.cases import patients
from fedbrats.data.check.problems import FINDINGS, NOTE, WARNING
from fedbrats.data.regions import get_convention
from fedbrats.data.split import identity, schemes

if TYPE_CHECKING:
    from fedbrats.data.check.problems import Problem
    from fedbrats.data.split.plan import SplitPlan, SplitSettings


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
    """Plan the sites, write them, print what went where."""
    from fedbrats.data.split.plan import SplitSettings, plan_split
    from fedbrats.data.split.sites import new_sites_folder, write_record, write_site

    settings = SplitSettings(
        args.by, args.sites, args.seed, args.fold, args.folds, args.validation_share, args.test_share, args.patient
    )
    with new_sites_folder(args.out, args.force) as folder:
        examinations = examine_cases(args.folder, args.workers, args.names)
        plan = plan_split(examinations, settings, get_convention(args.convention) if args.convention else None)
        for datalist in plan.sites:
            write_site(folder, replace(datalist, names=args.names), args.copy)
        write_record(folder, plan.sites, _describe_origin(args, settings, plan))
    summary = _summarise(plan)
    tell_findings("split", _of_kept(plan), args.folder)
    for remark in plan.remarks:
        say(f"split: {'warning' if remark.is_warning else 'note'}: {remark.text}")
    if args.json:
        print_json({"out": str(args.out), **summary})
    else:
        _print_report(args.out, plan, summary)
    return 1 if args.strict and _has_warnings(plan) else 0


def _has_warnings(plan: SplitPlan) -> bool:
    """Whether a warning was told, of a site's numbers or of a case that is at a site."""
    return any(remark.is_warning for remark in plan.remarks) or any(f.severity != NOTE for f in _of_kept(plan))


def _describe_origin(args: argparse.Namespace, settings: SplitSettings, plan: SplitPlan) -> dict[str, Any]:
    return {
        "made_by": "split",
        "source": str(args.folder.resolve()),
        "files": "copies" if args.copy else "links",
        "settings": asdict(settings),
        "names": args.names.as_document(),
        "label_convention": plan.sites[0].convention.name,
        "dropped": dict(plan.dropped),
        FINDINGS: as_documents(_of_kept(plan)),
    }


def _of_kept(plan: SplitPlan) -> list[Problem]:
    """What was found of the cases that are at a site, and of the data set."""
    kept = {case.name for datalist in plan.sites for case in datalist.cases}
    return [finding for finding in plan.findings if not finding.case or finding.case in kept]


def _summarise(plan: SplitPlan) -> dict[str, Any]:
    from fedbrats.data.check.segmentations import tumour_ml
    from fedbrats.data.split.sites import count_cases

    sites = {}
    for datalist in plan.sites:
        volumes = [tumour_ml(plan.labels[case.name], datalist.convention) for case in datalist.cases]
        grades = sorted({grade for case in datalist.cases if (grade := schemes.grade_of(case))})
        means = {"tumour_ml": round(sum(volumes) / len(volumes), 1), "grades": grades}
        sites[datalist.site] = count_cases(datalist) | means
    convention = plan.sites[0].convention.name
    return {
        "convention": convention,
        "convention_reason": plan.convention_reason,
        "sites": sites,
        "dropped": dict(plan.dropped),
        "remarks": [{"severity": WARNING if r.is_warning else NOTE, "message": r.text} for r in plan.remarks],
        FINDINGS: as_documents(plan.findings),
    }


def _print_report(out: Path, plan: SplitPlan, summary: dict[str, Any]) -> None:
    columns = ("site", "cases", "patients", "training", "validation", "test", "tumour mL", "grades")
    rows = [
        (name, *(site[key] for key in columns[1:6]), site["tumour_ml"], "+".join(site["grades"]) or None)
        for name, site in summary["sites"].items()
    ]
    print_table(columns, rows)
    for case, reason in plan.dropped.items():
        print_line(f"left out: {case}: {reason}")
    print_line(f"label convention: {plan.sites[0].convention}, {plan.convention_reason}")
    print_line(f"wrote {out}")
