"""Predict the tumour regions of cases: a label map on each scan's own grid, volumes in mL, and a picture.

CASES is a case folder or a folder of cases. A segmentation is not needed and not used; if there is one, the picture
shows it. Each case is checked first. A case that cannot be predicted safely is refused with the reason, and the others
go on.

For every case DIR gets CASE_prediction.nii.gz (on the grid of the case's T1, marked as a prediction),
CASE_overlay.png (three planes through the tumour, prediction solid, truth dashed) and, with --probabilities,
CASE_probability_WT.nii.gz and so on. For all cases together it gets volumes.csv and predictions.json. Both are written
again after each case, so that a command that ends early leaves what it has done.

--json prints predictions.json: model, sha256, convention, labels, cases, a list of {case, prediction, overlay,
volumes_ml, seconds, warnings} (with --force also forced: why it would be refused) or, where a case was refused, {case,
refused}, findings (as the problems of `fedbrats check --json`), and unreached: the number of cases that were not
reached.

Exit status: 0 every case was predicted, 1 some cases were refused, or predicted with --force although they are not safe
to predict (standard error says why).

Research software, not a medical device: its output may not guide the care of a patient.

example:
  fedbrats predict results/fedavg ~/BraTS2021_Validation --out predictions
  fedbrats predict results/fedavg case_folder --out predictions --convention brats-2023 --flips --probabilities
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.cli.cases.check import add_names_argument, examine_cases
from fedbrats.cli.cases.findings import as_documents, tell_findings
from fedbrats.cli.model_arguments import add_model_arguments, open_predictor
from fedbrats.cli.output import follow, print_json, print_line, print_table
from fedbrats.cli.pictures import require_matplotlib
from fedbrats.cli.progress import say
from fedbrats.data.cases.case import SEGMENTATION
from fedbrats.data.check.problems import FINDINGS
from fedbrats.data.regions import (
    BRATS_2018,
    CONVENTIONS,
    REGIONS,
    LabelConvention,
    get_convention,
)
from fedbrats.errors import DataError
from fedbrats.outside import show_in_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fedbrats.data.cases.case import Case
    from fedbrats.data.check.problems import Problem
    from fedbrats.model.prediction import Prediction, Predictor

INDEX_FILE, VOLUMES_FILE = "predictions.json", "volumes.csv"
_OF_NO_CONCERN = ("missing-segmentation", "same-patient", "similar-names")


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
    parser.add_argument("--probabilities", action="store_true", help="write a probability map a region too")
    parser.add_argument("--no-overlays", dest="overlays", action="store_false", help="draw no pictures")
    parser.add_argument("--force", action="store_true", help="predict what is refused too, where that can be done")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")


def run(args: argparse.Namespace) -> int:
    """Check, predict, write, list."""
    if args.overlays:
        require_matplotlib("a picture of every case (--no-overlays draws none)")
    examinations = examine_cases(args.cases, 1, args.names)
    predictor = open_predictor(args)
    settled, problems = _judge(examinations)
    cases = [examination.case for examination in examinations]
    tell_findings("predict", [p for p in _concerning(problems, cases) if not p.case], args.cases)
    convention = _choose_convention(args.convention, settled, [case.name for case in cases])
    model = {"model": str(predictor.model.path), "sha256": predictor.model.sha256, "flips": args.flips}
    entries: list[dict[str, Any]] = []
    document = {**model, "convention": convention.name, "labels": convention.written, "cases": entries}
    document[FINDINGS] = as_documents(_concerning(problems, cases))
    for case in follow(cases, len(cases), "predicting"):
        own = [p for p in _concerning(problems, [case]) if p.case]
        entries.append(_predict(case, own, predictor, convention, settled, args))
        if "refused" in entries[-1]:
            say(f"predict: {case.name} is refused: {entries[-1]['refused']}")
        for warning in entries[-1].get("warnings", ()):
            say(f"predict: {case.name}: look at this one: {warning}")
        document["unreached"] = len(cases) - len(entries)
        _write_lists(document, args.out)
    if args.json:
        print_json(document)
    else:
        _print_entries(entries, args.out)
        print_line(f"labels in the masks: {convention.written} (convention {convention.name})")
    return 1 if any("refused" in entry or "forced" in entry for entry in entries) else 0


def _choose_convention(chosen: str | None, settled: LabelConvention | None, names: Sequence[str]) -> LabelConvention:
    """What is written: as chosen, else as the segmentations that are there, else as the data set of these names."""
    from fedbrats.data.check.conventions import convention_of_names

    if chosen:
        return get_convention(chosen)
    return settled or convention_of_names(names) or BRATS_2018


def _write_lists(document: dict[str, Any], out: Path) -> None:
    """Write what is over all cases. After each: a process that the system kills for its memory writes nothing then."""
    from fedbrats.atomic import write_json_atomic, write_text_atomic

    write_json_atomic(out / INDEX_FILE, document)
    write_text_atomic(out / VOLUMES_FILE, _volumes_table(document["cases"]))


def _judge(examinations: Sequence[Any]) -> tuple[LabelConvention | None, list[Problem]]:
    """The convention of the segmentations that are there, None without or where they do not tell; and all problems."""
    from fedbrats.data.check.survey import judge_cases

    settled, problems = judge_cases(examinations)
    return (settled.convention if settled else None), problems


def _concerning(problems: Sequence[Problem], cases: Sequence[Case]) -> list[Problem]:
    """The problems of the data set and of these cases that a prediction is the worse for."""
    by_name = {case.name: case for case in cases}
    concerning = [p for p in problems if p.kind not in _OF_NO_CONCERN and (not p.case or p.case in by_name)]
    return [p for p in concerning if not (p.case and _is_about_truth(p, by_name[p.case]))]


def _is_about_truth(problem: Problem, case: Case) -> bool:
    """Whether a problem leaves a prediction as good as it is."""
    segmentations = (case.label, *case.doubled.get(SEGMENTATION, ()))
    return problem.file in map(str, segmentations)


def _predict(
    case: Case,
    problems: Sequence[Problem],
    predictor: Predictor,
    convention: LabelConvention,
    truth_convention: LabelConvention | None,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Predict and write one case; its entry of the index."""
    from fedbrats.data.check.problems import ERROR
    from fedbrats.model.maps import write_label_map, write_probability_maps

    errors = [problem.message for problem in problems if problem.severity == ERROR]
    if errors and not args.force:
        return {"case": case.name, "refused": "; ".join(errors)}
    began = time.perf_counter()
    warnings = [problem.message for problem in problems]
    try:
        prediction = predictor.predict(case)
    except DataError as error:
        return {"case": case.name, "refused": str(error)}
    path = write_label_map(prediction, convention, args.out)
    entry: dict[str, Any] = {"case": case.name, "prediction": str(path), **({"forced": errors} if errors else {})}
    if args.probabilities:
        write_probability_maps(prediction, args.out)
    if args.overlays:
        truth = _find_truth(prediction, truth_convention, warnings)
        entry["overlay"] = str(_write_overlay(prediction, truth, args.out))
    volumes = {name: round(volume, 3) for name, volume in prediction.volumes_ml.items()}
    if not volumes["WT"]:
        warnings.append("no tumour was found")
    if prediction.dropped_ml:
        warnings.append(f"{prediction.dropped_ml:.1f} mL away from the main tumour were found and left out")
    return {**entry, "volumes_ml": volumes, "seconds": round(time.perf_counter() - began, 2), "warnings": warnings}


def _find_truth(
    prediction: Prediction, convention: LabelConvention | None, warnings: list[str]
) -> NDArray[np.uint8] | None:
    """The segmentation to draw, or None where there is none that can be read; the latter is said."""
    from fedbrats.model.prediction import read_truth

    case = prediction.case
    if case.label is None:
        return None
    try:
        if convention is None:
            raise DataError(f"the label convention of {case.label.name} is unclear")
        return read_truth(case, convention)
    except DataError as error:
        warnings.append(f"the truth is not drawn: {error}")
        return None


def _write_overlay(prediction: Prediction, truth: NDArray[np.uint8] | None, out: Path) -> Path:
    from fedbrats.atomic import write_bytes_atomic
    from fedbrats.report.page.overlays import draw_overlay

    path = out / f"{prediction.case.name}_overlay.png"
    picture = draw_overlay(prediction, truth)
    write_bytes_atomic(path, lambda stream: stream.write(picture))
    return path


def _volumes_table(entries: Sequence[dict[str, Any]]) -> str:
    """CSV, a row a case; a refused one has no volumes."""
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("case", *(f"{region}_ml" for region in REGIONS)))
    for entry in entries:
        volumes = entry.get("volumes_ml", {})
        table.writerow((show_in_table(entry["case"]), *(volumes.get(region, "") for region in REGIONS)))
    return text.getvalue()


def _print_entries(entries: Sequence[dict[str, Any]], out: Path) -> None:
    rows = []
    for entry in entries:
        volumes = entry.get("volumes_ml", {})
        said = entry.get("refused") or "; ".join(entry["warnings"])
        rows.append((entry["case"], *(volumes.get(region) for region in REGIONS), entry.get("seconds"), said))
    print_table(("case", "WT mL", "TC mL", "ET mL", "seconds", "remarks"), rows)
    print_line(f"wrote {out}")
