"""Predict the tumour regions of cases: label maps, volumes, pictures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbrats.api.cases import examine_cases, own_names
from fedbrats.api.findings import tell_findings
from fedbrats.api.html import html_table
from fedbrats.api.models import open_predictor, require_models
from fedbrats.api.pictures import require_matplotlib
from fedbrats.api.progress import Progress, Watch
from fedbrats.data.cases.case import SEGMENTATION
from fedbrats.data.cases.names import NO_OWN_NAMES, OwnNames
from fedbrats.data.check.problems import FINDINGS, Problem
from fedbrats.data.check.recorded import as_documents
from fedbrats.data.regions import BRATS_2018, REGIONS, LabelConvention, get_convention
from fedbrats.errors import DataError
from fedbrats.report.export.predicted import read_earlier, remarks_on_volumes, require_same, write_lists

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fedbrats.data.cases.case import Case
    from fedbrats.model.prediction import Prediction, Predictor

_OF_NO_CONCERN = ("missing-segmentation", "same-patient", "similar-names")


@dataclass(frozen=True)
class PredictedCase:
    """What was predicted of one case.

    Attributes:
        case: Its name.
        prediction: The label map on the grid of the case's T1; None where the case was refused.
        slicer: The same for 3D Slicer.
        overlay: A picture of it; None where none was drawn.
        volumes_ml: Region -> mL.
        look: Why a person should look at the case.
        warnings: What else is worth knowing.
        forced: Why it would be refused, where it was predicted all the same.
        refused: Why it was not predicted; None where it was.
    """

    case: str
    prediction: Path | None
    slicer: Path | None
    overlay: Path | None
    volumes_ml: Mapping[str, float]
    look: tuple[str, ...]
    warnings: tuple[str, ...]
    forced: tuple[str, ...]
    refused: str | None

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> PredictedCase:
        """The case of an entry of predictions.json."""
        prediction, slicer, overlay = (
            Path(entry[key]) if key in entry else None for key in ("prediction", "slicer", "overlay")
        )
        look, warnings, forced = (tuple(entry.get(key, ())) for key in ("look", "warnings", "forced"))
        volumes, refused = entry.get("volumes_ml", {}), entry.get("refused")
        return cls(entry["case"], prediction, slicer, overlay, volumes, look, warnings, forced, refused)

    def _repr_png_(self) -> bytes | None:
        return self.overlay.read_bytes() if self.overlay else None


@dataclass(frozen=True)
class Predictions:
    """What `predict` wrote.

    Attributes:
        folder: Where.
        cases: In the order of their names.
        convention: What the label values that were written mean.
        document: What `fedbrats predict --json` prints.
    """

    folder: Path
    cases: tuple[PredictedCase, ...]
    convention: LabelConvention
    document: dict[str, Any]

    def _repr_html_(self) -> str:
        rows = [
            (each.case, *(each.volumes_ml.get(region) for region in REGIONS), each.refused or "; ".join(each.look))
            for each in self.cases
        ]
        return html_table(("case", *(f"{region} mL" for region in REGIONS), "remarks"), rows, str(self.folder))


@dataclass(frozen=True)
class _Writing:
    """What is written of every case, and where."""

    out: Path
    convention: LabelConvention
    truth_convention: LabelConvention | None
    probabilities: bool
    overlays: bool
    force: bool


def predict(
    model: str | Path | Sequence[str | Path],
    cases: str | Path,
    out: str | Path,
    *,
    personal: str | None = None,
    flips: bool = False,
    window: Sequence[int] | None = None,
    device: str = "auto",
    threads: int | None = None,
    convention: str | None = None,
    names: OwnNames | Mapping[str, str] = NO_OWN_NAMES,
    probabilities: bool = False,
    overlays: bool = True,
    force: bool = False,
    progress: Progress | None = None,
) -> Predictions:
    """Predict the tumour regions of cases, on each scan's own grid. Research software, not a medical device.

    Args:
        model: A results folder or a model file; the probabilities of several are averaged.
        cases: A case folder or a folder of cases.
        out: The folder of what is written; a second call with the same model adds its cases.
        personal: A site whose personal weights are laid over the model, or their file.
        flips: Whether probabilities are averaged over eight mirror images.
        window: Three edges of a sliding window in prepared voxels.
        device: As of `train`.
        threads: As of `train`.
        convention: Label values to write; None takes those of the segmentations that are there, else of the names.
        names: As of `check`.
        probabilities: Whether probability maps are written too.
        overlays: Whether a picture of each case is drawn; needs matplotlib.
        force: Whether a case is predicted that is not safe to predict.
        progress: Gets a step a case, and warnings about cases.

    Raises: DataError, ConfigurationError, UpdateError for the model or all cases; one case is `refused` in the result.

    >>> found = predict("trained", "sites/site-1/Phantom_site-1_001", "predicted", overlays=False, threads=1)
    >>> found.cases[0].case, found.cases[0].refused
    ('Phantom_site-1_001', None)
    """
    if overlays:
        require_matplotlib("a picture of every case (--no-overlays draws none)")
    watch, folder, paths = Watch(progress), Path(out), [model] if isinstance(model, str | Path) else model
    require_models([Path(path) for path in paths])
    examinations = examine_cases(Path(cases), 1, own_names(names), watch)
    asked: dict[str, Any] = {"personal": personal, "window": window, "device": device, "threads": threads}
    predictor = open_predictor([Path(path) for path in paths], watch, flips=flips, **asked)
    (settled, problems), found = _judge(examinations), [examination.case for examination in examinations]
    tell_findings(watch, "predict", [p for p in _concerning(problems, found) if not p.case], cases)
    earlier, called = read_earlier(folder), [case.name for case in found]
    chosen = _choose_convention(convention or (earlier or {}).get("convention"), settled, called)
    document: dict[str, Any] = {"model": predictor.name, "sha256": predictor.sha256, "flips": flips}
    document |= {"convention": chosen.name, "labels": chosen.written, "cases": []}
    document[FINDINGS] = as_documents(_concerning(problems, found))
    require_same(earlier, document, folder)
    asked_for = _Writing(folder, chosen, settled, probabilities, overlays, force)
    _predict_all(document, found, problems, predictor, asked_for, watch)
    return Predictions(folder, tuple(map(PredictedCase.of, document["cases"])), chosen, document)


def _predict_all(
    document: dict[str, Any],
    cases: Sequence[Case],
    problems: Sequence[Problem],
    predictor: Predictor,
    writing: _Writing,
    watch: Watch,
) -> None:
    """Predict case after case; what is done is written after each."""
    from fedbrats.report.export.viewers import write_label_table

    write_label_table(writing.convention, writing.out)
    for case in watch.follow(cases, len(cases), "predicting"):
        own = [p for p in _concerning(problems, [case]) if p.case]
        document["cases"].append(_predict(case, own, predictor, writing))
        document["unreached"] = len(cases) - len(document["cases"])
        write_lists(document, writing.out)
        _tell_remarks(watch, document["cases"][-1])


def _tell_remarks(watch: Watch, entry: Mapping[str, Any]) -> None:
    """Why a case was refused, or what a person should look at; once."""
    if "refused" in entry:
        watch.warn(f"predict: {entry['case']} is refused: {entry['refused']}", is_in_result=True)
    for text in entry.get("look", ()):
        watch.warn(f"predict: {entry['case']}: look at this one: {text}", is_in_result=True)


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
    writing: _Writing,
) -> dict[str, Any]:
    """Predict and write one case; its entry of the index."""
    from fedbrats.data.check.problems import ERROR, NOTE
    from fedbrats.model.maps import write_label_map, write_probability_maps
    from fedbrats.report.export.viewers import write_slicer_segmentation

    errors = [problem.message for problem in problems if problem.severity == ERROR]
    if errors and not writing.force:
        return {"case": case.name, "refused": "; ".join(errors)}
    began = time.perf_counter()
    look = [problem.message for problem in problems if problem.severity != NOTE]
    warnings = [problem.message for problem in problems if problem.severity == NOTE]
    try:
        prediction = predictor.predict(case)
    except DataError as error:
        return {"case": case.name, "refused": str(error)}
    path = write_label_map(prediction, writing.convention, writing.out)
    slicer = write_slicer_segmentation(prediction, writing.convention, writing.out)
    entry: dict[str, Any] = {"case": case.name, "prediction": str(path), "slicer": str(slicer)}
    entry |= {"forced": errors} if errors else {}
    if writing.probabilities:
        write_probability_maps(prediction, writing.out)
    if writing.overlays:
        truth = _find_truth(prediction, writing.truth_convention, warnings)
        entry["overlay"] = str(_write_overlay(prediction, truth, writing.out, predictor.title))
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
