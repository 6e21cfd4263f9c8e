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
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.cli.cases.check import add_names_argument, examine_cases
from fedbrats.cli.cases.findings import as_documents, tell_findings
from fedbrats.cli.model_arguments import add_model_arguments, open_predictor, require_models
from fedbrats.cli.models.predicted import read_earlier, remarks_on_volumes, require_same, write_lists
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

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fedbrats.data.cases.case import Case
    from fedbrats.data.check.problems import Problem
    from fedbrats.model.prediction import Prediction, Predictor

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
    require_models(args.model)
    if args.overlays:
        require_matplotlib("a picture of every case (--no-overlays draws none)")
    examinations = examine_cases(args.cases, 1, args.names)
    predictor = open_predictor(args)
    from fedbrats.report.export.viewers import write_label_table  # with PyTorch, which takes seconds

    settled, problems = _judge(examinations)
    cases = [examination.case for examination in examinations]
    tell_findings("predict", [p for p in _concerning(problems, cases) if not p.case], args.cases)
    earlier = read_earlier(args.out)
    chosen = args.convention or (earlier or {}).get("convention")
    convention = _choose_convention(chosen, settled, [case.name for case in cases])
    model = {"model": predictor.name, "sha256": predictor.sha256, "flips": args.flips}
    entries: list[dict[str, Any]] = []
    document = {**model, "convention": convention.name, "labels": convention.written, "cases": entries}
    document[FINDINGS] = as_documents(_concerning(problems, cases))
    require_same(earlier, document, args.out)
    write_label_table(convention, args.out)
    for case in follow(cases, len(cases), "predicting"):
        own = [p for p in _concerning(problems, [case]) if p.case]
        entries.append(_predict(case, own, predictor, convention, settled, args))
        document["unreached"] = len(cases) - len(entries)
        write_lists(document, args.out)
        if args.json:  # the table says it too
            _say_remarks(entries[-1])
    if args.json:
        print_json(document)
    else:
        _print_entries(entries, args.out)
        print_line(f"labels in the masks: {convention.written} (convention {convention.name})")
    return 1 if any("refused" in entry or "forced" in entry for entry in entries) else 0


def _say_remarks(entry: dict[str, Any]) -> None:
    """Why a case was refused, or what a person should look at; once."""
    if "refused" in entry:
        say(f"predict: {entry['case']} is refused: {entry['refused']}")
    for text in entry.get("look", ()):
        say(f"predict: {entry['case']}: look at this one: {text}")


def _choose_convention(chosen: str | None, settled: LabelConvention | None, names: Sequence[str]) -> LabelConvention:
    """What is written: as chosen, else as the segmentations that are there, else as the data set of these names."""
    from fedbrats.data.check.conventions import convention_of_names

    if chosen:
        return get_convention(chosen)
    return settled or convention_of_names(names) or BRATS_2018


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
    from fedbrats.data.check.problems import ERROR, NOTE
    from fedbrats.model.maps import write_label_map, write_probability_maps
    from fedbrats.report.export.viewers import write_slicer_segmentation

    errors = [problem.message for problem in problems if problem.severity == ERROR]
    if errors and not args.force:
        return {"case": case.name, "refused": "; ".join(errors)}
    began = time.perf_counter()
    look = [problem.message for problem in problems if problem.severity != NOTE]
    warnings = [problem.message for problem in problems if problem.severity == NOTE]
    try:
        prediction = predictor.predict(case)
    except DataError as error:
        return {"case": case.name, "refused": str(error)}
    path = write_label_map(prediction, convention, args.out)
    slicer = write_slicer_segmentation(prediction, convention, args.out)
    entry: dict[str, Any] = {"case": case.name, "prediction": str(path), "slicer": str(slicer)}
    entry |= {"forced": errors} if errors else {}
    if args.probabilities:
        write_probability_maps(prediction, args.out)
    if args.overlays:
        truth = _find_truth(prediction, truth_convention, warnings)
        entry["overlay"] = str(_write_overlay(prediction, truth, args.out, predictor.title))
    volumes = {name: round(volume, 3) for name, volume in prediction.volumes_ml.items()}
    should_look, is_known = remarks_on_volumes(volumes, prediction.dropped_ml)
    seconds = round(time.perf_counter() - began, 2)
    # Each once: two files of a case may have the same thing wrong.
    remarks = {"look": list(dict.fromkeys(should_look + look)), "warnings": list(dict.fromkeys(warnings + is_known))}
    return {**entry, "volumes_ml": volumes, "seconds": seconds, **remarks}


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


def _write_overlay(prediction: Prediction, truth: NDArray[np.uint8] | None, out: Path, model: str) -> Path:
    from fedbrats.atomic import write_bytes_atomic
    from fedbrats.report.page.overlays import draw_overlay

    path = out / f"{prediction.case.name}_overlay.png"
    picture = draw_overlay(prediction, truth, model)
    write_bytes_atomic(path, lambda stream: stream.write(picture))
    return path


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
