"""What can be wrong with a case, by name: the words that `fedbrats check` reports in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

ERROR = "error"
WARNING = "warning"
NOTE = "note"


class Kind(NamedTuple):
    """How grave a kind of problem is, and what it means."""

    severity: str
    meaning: str


KINDS = {
    "missing-modality": Kind(ERROR, "one of t1, t1ce, t2, flair has no file"),
    "doubled-modality": Kind(ERROR, "two files claim to be the same modality or segmentation"),
    "doubled-case": Kind(ERROR, "two folders hold a case of this name"),
    "unreadable": Kind(ERROR, "the file is truncated, damaged or not NIfTI"),
    "wrong-dimensions": Kind(ERROR, "the file is not one three-dimensional volume"),
    "unplaced": Kind(ERROR, "the file does not give the position of its voxels: left and right would be a guess"),
    "contradictory-header": Kind(
        WARNING, "the header gives a position, a voxel size or a unit twice, and the two differ"
    ),
    "grid-mismatch": Kind(ERROR, "shape or affine differs from the case's other files"),
    "not-finite": Kind(ERROR, "NaN or infinity among the voxels"),
    "empty-image": Kind(ERROR, "every voxel has the same value"),
    "identical-modalities": Kind(ERROR, "two modalities show the same image"),
    "non-integer-labels": Kind(ERROR, "the segmentation has values that are not whole numbers"),
    "unknown-labels": Kind(ERROR, "the segmentation has values that the label convention does not have"),
    "unsettled-convention": Kind(ERROR, "case names, labels and anatomy do not agree on one label convention"),
    "assumed-convention": Kind(WARNING, "the label convention is one that labels alone do not show"),
    "labels-against-anatomy": Kind(WARNING, "the labels of this case lie as if two of them were exchanged"),
    "predicted-segmentation": Kind(ERROR, "the segmentation is a prediction of fedbrats, and no truth"),
    "no-tumour-map": Kind(ERROR, "the marked tumour takes up most of the brain"),
    "implausible-tumour": Kind(WARNING, "the marked tumour is larger than any, or in very many parts"),
    "missing-segmentation": Kind(WARNING, "no segmentation: the case cannot be trained on"),
    "empty-segmentation": Kind(WARNING, "no tumour is marked"),
    "tumour-outside-brain": Kind(WARNING, "much of the marked tumour is where no modality shows brain"),
    "partial-coverage": Kind(WARNING, "a modality leaves out part of the brain that the others show"),
    "exchanged-modalities": Kind(ERROR, "two modalities look as if their names were exchanged"),
    "not-skull-stripped": Kind(ERROR, "there is signal outside the brain"),
    "same-patient": Kind(WARNING, "another case has the name of the same patient"),
    "same-images": Kind(WARNING, "another case holds the same images"),
    "similar-names": Kind(WARNING, "names differ only in their last letter or number: two patients, or two sessions?"),
    "passed-over": Kind(NOTE, "NIfTI files that belong to no case were ignored"),
    "several-folders": Kind(NOTE, "the files of a case are in several folders and were joined by their names"),
}


@dataclass(frozen=True)
class Problem:
    """One thing found. An error stops the case, a warning asks for a look, a note is only worth knowing."""

    case: str
    file: str  # the path, or empty where the problem is no single file's
    kind: str  # a key of KINDS
    severity: str
    message: str


def make_problem(case: str, file: object, kind: str, message: str) -> Problem:
    """A problem with the severity of its kind."""
    return Problem(case, str(file or ""), kind, KINDS[kind].severity, message)
