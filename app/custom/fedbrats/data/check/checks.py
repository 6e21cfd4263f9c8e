"""Check BraTS cases: files, grids, voxel values, labels, and whether the images look like what they are called.

This is what can be said of a case alone; `survey.py` adds what only its data set tells. A full-size case takes about
half a second of one core.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fedbrats.data.cases.case import MODALITIES, SEGMENTATION, Case
from fedbrats.data.check import appearance
from fedbrats.data.check.anatomy import Anatomy, encloses, measure_anatomy
from fedbrats.data.check.plausibility import judge_tumour
from fedbrats.data.check.problems import Problem, make_problem
from fedbrats.data.check.segmentations import LabelVolumes, measure_labels
from fedbrats.data.placement import UNPLACED
from fedbrats.data.regions import LabelConvention
from fedbrats.data.volumes import Volume, read_volume
from fedbrats.errors import DataError

MIN_COVERAGE = 0.95  # of the brain; 0.979 is the lowest of the real modalities that are whole
MAX_BRAIN_ML = 2300.0  # the largest real one has 1809 mL; a head has more than 3000
_ENOUGH_VOXELS = 1000  # for statistics


@dataclass(frozen=True)
class Examination:
    """What reading one case has shown."""

    case: Case
    problems: tuple[Problem, ...]
    labels: LabelVolumes | None = None  # None: there is no readable segmentation
    fingerprints: dict[str, str] = field(default_factory=dict)  # modality -> a hash of its voxels
    anatomy: Anatomy = field(default_factory=dict)  # what each label looks like; empty where that cannot be said


def check_case(case: Case, convention: LabelConvention | None = None) -> list[Problem]:
    """Every problem of one case, its labels held against `convention` where one is given; reads all its files."""
    examination = examine_case(case)
    return [*examination.problems, *(judge_labels(examination, convention) if convention else ())]


def examine_case(case: Case) -> Examination:
    """Read a case and say what is wrong with it, labels' meaning and other cases left aside."""
    problems = list(_check_files(case))
    volumes: dict[str, Volume] = {}
    for role, path in case.files.items():
        try:
            volume = read_volume(path)
        except DataError as error:
            problems.append(make_problem(case.name, path, "unreadable", str(error)))
            continue
        found = list(_check_voxels(case, role, path, volume))
        problems += found
        if not found:
            volumes[role] = volume
    problems += list(_check_headers(case, volumes))
    placed = {role: volume for role, volume in volumes.items() if volume.is_placed}
    problems += _check_placement(case, [role for role in volumes if role not in placed])
    misplaced = list(_check_grids(case, placed))
    problems += misplaced or _check_appearance(case, placed)
    labels, found = _read_labels(case, volumes.get(SEGMENTATION))
    prints = {m: volumes[m].fingerprint for m in MODALITIES if m in volumes}
    anatomy: Anatomy = {}
    if labels and not misplaced and {"t1ce", SEGMENTATION} <= placed.keys():
        segmentation = placed[SEGMENTATION]
        anatomy = measure_anatomy(segmentation.labels, placed["t1ce"].foreground, segmentation.voxel_ml)
    return Examination(case, tuple(problems + found), labels, prints, anatomy)


def judge_labels(examination: Examination, convention: LabelConvention) -> Iterator[Problem]:
    """The labels of a case that its data set's convention does not know."""
    unknown = sorted(set(examination.labels or ()) - convention.values)
    if unknown:
        text = f"label(s) {', '.join(map(str, unknown))} are unknown to convention {convention}"
        yield make_problem(examination.case.name, examination.case.label, "unknown-labels", text)
    elif encloses(core := convention.core[0], convention.oedema, [examination.anatomy]):
        text = f"label {core} lies around label {convention.oedema}, which is oedema in {convention.name}: exchanged?"
        yield make_problem(examination.case.name, examination.case.label, "labels-against-anatomy", text)


def _check_files(case: Case) -> Iterator[Problem]:
    for modality in case.missing:
        yield make_problem(case.name, None, "missing-modality", f"there is no {modality} image")
    for role, paths in case.doubled.items():
        first = case.files[role].name
        for path in paths:
            yield make_problem(case.name, path, "doubled-modality", f"{role} is both {first} and {path.name}; keep one")
    if case.label is None:
        yield make_problem(case.name, None, "missing-segmentation", "there is no segmentation to train on")


def _check_voxels(case: Case, role: str, path: Path, volume: Volume) -> Iterator[Problem]:
    voxels = volume.voxels
    if voxels.ndim != 3 or min(voxels.shape) < 2:
        yield make_problem(
            case.name, path, "wrong-dimensions", f"the shape is {_times(voxels.shape)}, expected one 3D volume"
        )
    elif voxels.dtype.kind == "f" and (bad := int(np.count_nonzero(~np.isfinite(voxels)))):
        yield make_problem(case.name, path, "not-finite", f"{bad} voxels are NaN or infinite")
    elif role != SEGMENTATION and (voxels == voxels.flat[0]).all():
        yield make_problem(case.name, path, "empty-image", f"every voxel is {voxels.flat[0]:g}")


def _read_labels(case: Case, segmentation: Volume | None) -> tuple[LabelVolumes | None, list[Problem]]:
    if segmentation is None or case.label is None:
        return None, []
    if segmentation.is_predicted:
        text = f"{case.label.name} has the mark of a prediction of fedbrats in its header (intent_name)"
        return None, [make_problem(case.name, case.label, "predicted-segmentation", text)]
    try:
        labels = measure_labels(segmentation.labels, segmentation.voxel_ml, case.label)
    except DataError as error:
        return None, [make_problem(case.name, case.label, "non-integer-labels", str(error))]
    if not labels:
        return labels, [make_problem(case.name, case.label, "empty-segmentation", "no voxel is marked as tumour")]
    return labels, []


def _check_placement(case: Case, unplaced: Sequence[str]) -> Iterator[Problem]:
    """One problem a case: whatever wrote one of its files so mostly wrote them all."""
    if unplaced:
        names = f"each of {', '.join(unplaced)}" if len(unplaced) > 1 else unplaced[0]
        yield make_problem(case.name, case.files[unplaced[0]], "unplaced", f"{names} {UNPLACED}")


def _check_headers(case: Case, volumes: Mapping[str, Volume]) -> Iterator[Problem]:
    """Each contradiction once a case, with the files that have it: one program wrote them all."""
    having: dict[str, list[str]] = {}
    for role, volume in volumes.items():
        for text in volume.contradictions:
            having.setdefault(text, []).append(role)
    for text, roles in having.items():
        yield make_problem(
            case.name, case.files[roles[0]], "contradictory-header", f"the header of {', '.join(roles)}: {text}"
        )


def _check_grids(case: Case, volumes: dict[str, Volume]) -> Iterator[Problem]:
    """Against the grid that most files share, so that the odd one out is named and not the others."""
    if not volumes:
        return
    grids = {role: volume.grid for role, volume in volumes.items()}
    usual = max(grids.values(), key=lambda one: sum(one.gap(other) is None for other in grids.values()))
    for role, grid in grids.items():
        if gap := usual.gap(grid):
            yield make_problem(case.name, case.files[role], "grid-mismatch", gap)


def _check_appearance(case: Case, volumes: dict[str, Volume]) -> Iterator[Problem]:
    images = {m: volumes[m].foreground for m in MODALITIES if m in volumes}
    if len(images) < 2:
        return
    coverage = appearance.measure_coverage(images)
    brain_ml = coverage.brain_voxels * next(iter(volumes.values())).voxel_ml
    for modality, image in images.items():
        path = case.images[modality]
        if coverage.share[modality] < MIN_COVERAGE:
            text = f"{modality} shows only {coverage.share[modality]:.0%} of the brain that the other modalities show"
            yield make_problem(case.name, path, "partial-coverage", text)
        if appearance.corners_have_signal(image):
            text = f"the corners of {modality} are not zero: skull and background must be removed"
            yield make_problem(case.name, path, "not-skull-stripped", text)
    if brain_ml > MAX_BRAIN_ML:
        text = f"{brain_ml:.0f} mL are not zero, more than any brain: skull and background must be removed"
        yield make_problem(case.name, None, "not-skull-stripped", text)
    if SEGMENTATION in volumes:
        tumour, shown = volumes[SEGMENTATION].voxels != 0, {m: image != 0 for m, image in images.items()}
        voxel_ml = volumes[SEGMENTATION].voxel_ml
        yield from judge_tumour(case.name, case.label, tumour, shown, coverage.brain_voxels, voxel_ml)
    if len(images) == len(MODALITIES):
        yield from _check_identities(case, images)


def _check_identities(case: Case, images: appearance.Images) -> Iterator[Problem]:
    sample = appearance.sample_brain(images)
    if sample.shape[1] < _ENOUGH_VOXELS:
        return
    correlations = appearance.rank_correlations(sample)
    identical = appearance.find_identical(correlations)
    for first, second in identical:
        text = f"{first} and {second} show the same image"
        yield make_problem(case.name, case.images[second], "identical-modalities", text)
    if not identical and (exchange := appearance.find_exchange(sample, correlations)):
        text = f"{exchange[0]} and {exchange[1]} look exchanged"
        yield make_problem(case.name, case.images[exchange[0]], "exchanged-modalities", text)


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
