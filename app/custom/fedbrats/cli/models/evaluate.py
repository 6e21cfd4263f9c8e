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
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.cli.cases.check import add_names_argument
from fedbrats.cli.cases.findings import as_documents, tell_findings, tell_recorded
from fedbrats.cli.model_arguments import add_model_arguments, open_predictor, require_models
from fedbrats.cli.output import follow, print_json, print_line, print_table
from fedbrats.cli.progress import say
from fedbrats.data.cases.case import SEGMENTATION
from fedbrats.data.check.problems import ERROR, FINDINGS, make_problem
from fedbrats.data.regions import CONVENTIONS, get_convention
from fedbrats.errors import DataError
from fedbrats.run_folder import final_model

if TYPE_CHECKING:
    from fedbrats.data.cases.case import Case
    from fedbrats.data.cases.datalist import Datalist
    from fedbrats.data.check.problems import Problem
    from fedbrats.model.metrics import DetailedScore
    from fedbrats.model.prediction import Predictor

Unsafe = Mapping[tuple[str, str], str]  # (site, case) -> why it should not be scored

SECTIONS = ("training", "validation", "test", "all")

UNFINISHED = "partial"  # in --out: what there is of an evaluation, while a whole earlier one is in --out itself


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
    args.model, args.data = _part(args.model, args.data)
    require_models(args.model)
    findings = tell_recorded("evaluate", args.data)
    sites, unsafe = _read_sites(args.data, args, findings)
    predictor = open_predictor(args)
    tally = _Tally(_choose_cases(sites, args.section), unsafe, is_forced=args.force)
    about = {
        "model": predictor.name,
        "sha256": predictor.sha256,
        "personal": predictor.model.is_personal,
        "section": args.section,
        "flips": args.flips,
        FINDINGS: as_documents(findings),
    }
    say(f"evaluate: {_why_other_than_the_job(predictor)}")
    unfinished = args.out / UNFINISHED if args.out and _holds_whole(args.out) else args.out
    try:
        _score_cases(predictor, tally, unfinished)
    except BaseException:  # a person's Ctrl-C too: what was scored may have taken hours
        if unfinished and tally.scores:
            _save(tally, about, unfinished)
            say(f"evaluate: ended before {tally.unreached} of the cases; the others are in {unfinished}")
        raise
    document = _save(tally, about, args.out)
    _save_table(tally, args.out)
    if unfinished and unfinished != args.out:
        shutil.rmtree(unfinished, ignore_errors=True)
    if args.json:
        print_json(document)
    else:
        _print_metrics(document)
    return 1 if tally.rejected or tally.forced else 0


def _why_other_than_the_job(predictor: Predictor) -> str:
    """Why these scores are not quite those of the job's own table for the same model and cases."""
    model = predictor.model
    size = model.preparation.spacing_mm
    grid = f"voxels of {size:g} mm" if size else "the prepared grid"
    if predictor.flips == model.final_flips:
        return f"scores are on the grid of the scans; the job's own table has those on {grid}"
    by_flips = "over mirror images, as with --flips" if model.final_flips else "without mirror images"
    return f"scores are on the grid of the scans; the job's own table has those on {grid}, {by_flips}"


def _part(models: Sequence[Path], data: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The words MODEL and DATA as they are meant: argparse gives all but the last to the first of the two."""
    words = [*models, *data]
    more = sum(1 for _ in takewhile(final_model, words[1:-1]))
    return words[: 1 + more], words[1 + more :]


def _holds_whole(out: Path) -> bool:
    """Whether a folder has an evaluation of all its cases, which one that may not come to its end must not replace."""
    from fedbrats.report.numbers.evaluation import EVALUATION_FILE

    try:
        return not json.loads((out / EVALUATION_FILE).read_text(encoding="utf-8")).get("unreached")
    except (OSError, ValueError, AttributeError):
        return False


@dataclass
class _Tally:
    """The cases to score, each with its site, and how far things are: scores by site, and why a case has none.

    Attributes:
        unsafe: why a case should not be scored.
        is_forced: whether such a case is scored all the same; `forced` then has it.
    """

    wanted: list[tuple[Datalist, Case]]
    unsafe: Unsafe
    is_forced: bool
    scores: dict[str, list[DetailedScore]] = field(default_factory=dict)
    rejected: list[dict[str, str]] = field(default_factory=list)
    forced: list[dict[str, str]] = field(default_factory=list)

    @property
    def unreached(self) -> int:
        """How many cases are still to come."""
        return len(self.wanted) - len(self.rejected) - sum(map(len, self.scores.values()))


def _read_sites(
    folders: Sequence[Path], args: argparse.Namespace, findings: list[Problem]
) -> tuple[list[Datalist], Unsafe]:
    """The sites, and what makes cases unsafe that no `fedbrats split` has checked; `findings` gets what was found."""
    from fedbrats.data.cases.datalist import DATALIST_NAME, find_sites, read_datalist

    sites: list[Datalist] = []
    unsafe: dict[tuple[str, str], str] = {}
    for folder in folders:
        if (folder / DATALIST_NAME).exists():
            sites.append(read_datalist(folder))
        elif any(folder.glob(f"*/{DATALIST_NAME}")):
            sites += [read_datalist(site) for site in find_sites(folder)]
        else:
            site, found = _read_cases(folder, args)
            sites.append(site)
            findings += found
            for finding in found:
                if finding.case and finding.severity == ERROR:
                    unsafe.setdefault((site.site, finding.case), finding.message)
    names = [site.site for site in sites]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"site {twice} is given twice; its cases would count double")
    return sites, unsafe


def _read_cases(folder: Path, args: argparse.Namespace) -> tuple[Datalist, list[Problem]]:
    """A folder of BraTS cases as one site, all of it to evaluate, and what was found of them, which is told."""
    from fedbrats.data.cases.case import find_cases
    from fedbrats.data.cases.datalist import Datalist
    from fedbrats.data.check.checks import examine_case
    from fedbrats.data.check.conventions import settle_convention
    from fedbrats.data.check.survey import judge_cases, labels_of

    there = find_cases(folder, args.names)
    cases = tuple(case for case in there if case.label)
    examined = [examine_case(case) for case in cases]
    settled, findings = judge_cases(examined, get_convention(args.convention) if args.convention else None)
    findings += [_without_label(case) for case in there if not case.label]
    tell_findings("evaluate", findings, folder)
    if settled is None:  # for its words
        settled = settle_convention(labels_of(examined), anatomies=[each.anatomy for each in examined])
    own: dict[str, Any] = {"test" if args.section == "all" else args.section: cases}
    site = Datalist(folder.resolve().name, settled.convention, **own)
    return site, findings


def _without_label(case: Case) -> Problem:
    if SEGMENTATION in case.doubled:
        return make_problem(case.name, None, "doubled-modality", "it has several segmentations, and is not scored")
    return make_problem(case.name, None, "missing-segmentation", "it has no segmentation, and is not scored")


def _choose_cases(sites: Sequence[Datalist], section: str) -> list[tuple[Datalist, Case]]:
    wanted = [(site, case) for site in sites for case in _section_of(site, section)]
    if not wanted:
        counts = {name: sum(len(_section_of(site, name)) for site in sites) for name in SECTIONS[:-1]}
        there = ", ".join(f"{count} in {name}" for name, count in counts.items() if count) or "none at all"
        raise DataError(f"there is no {section} case to evaluate (there are {there}); choose another --section")
    return wanted


def _score_cases(predictor: Predictor, tally: _Tally, out: Path | None) -> None:
    """Score case after case; one that cannot be scored is said, and the others go on."""
    for site, case in follow(tally.wanted, len(tally.wanted), "scoring cases"):
        why = tally.unsafe.get((site.site, case.name))
        entry = {"site": site.site, "case": case.name}
        try:
            if why and not tally.is_forced:
                raise DataError(f"{case.name} is not safe to score: {why}; --force scores it all the same")
            score = predictor.score(case, site.convention)
            tally.scores.setdefault(site.site, []).append(score)
            if why:
                tally.forced.append({**entry, "reason": why})
        except DataError as error:
            tally.rejected.append({**entry, "reason": str(error)})
            say(f"evaluate: {error}")
        _save_table(tally, out)


def _save(tally: _Tally, about: dict[str, Any], out: Path | None) -> dict[str, Any]:
    """The document of what was scored, also written where there is a folder for it."""
    from fedbrats.atomic import write_json_atomic
    from fedbrats.report.numbers.evaluation import EVALUATION_FILE, evaluation_document

    counts = {"rejected": tally.rejected, "forced": tally.forced, "unreached": tally.unreached}
    document = {**evaluation_document(tally.scores, about), **counts}
    if out:
        write_json_atomic(out / EVALUATION_FILE, document)
    return document


def _save_table(tally: _Tally, out: Path | None) -> None:
    """After each case: a process that the system kills for its memory writes nothing at its end."""
    from fedbrats.atomic import write_text_atomic
    from fedbrats.report.numbers.evaluation import TABLE_FILE, evaluation_table

    if out:
        write_text_atomic(out / TABLE_FILE, evaluation_table(tally.scores))


def _section_of(site: Datalist, section: str) -> tuple[Case, ...]:
    return site.cases if section == "all" else getattr(site, section)


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
