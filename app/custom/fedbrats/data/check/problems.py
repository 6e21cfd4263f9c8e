"""What can be wrong with a case, by name: the words that `fedbrats check` reports in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

ERROR = "error"
WARNING = "warning"
NOTE = "note"

FINDINGS = "findings"  # the key of them in split.json and in the documents of commands


REAL_CASES = 50  # different ones, on which the limits of the checks were measured (docs/reference/findings.md)
SURE = "certain"
MEASURED = f"measured on {REAL_CASES} real cases, none of which is flagged wrongly"
LIKELY = "likely: look at it"


class Kind(NamedTuple):
    """How grave a kind of problem is, what it means, how sure it is and what to do."""

    severity: str
    meaning: str
    sure: str
    advice: str


KINDS = {
    "missing-modality": Kind(
        ERROR,
        "one of t1, t1ce, t2, flair has no file",
        SURE,
        "bring the file, or leave the case out: all four modalities are needed",
    ),
    "doubled-modality": Kind(
        ERROR, "two files claim to be the same modality or segmentation", SURE, "keep the file that is right"
    ),
    "doubled-case": Kind(
        ERROR, "two folders hold a case of this name", SURE, "keep one folder, or give the cases names of their own"
    ),
    "unreadable": Kind(
        ERROR,
        "the file is truncated, damaged or not NIfTI",
        SURE,
        "copy or download the file again; the gzip checksum, the length and the header are compared",
    ),
    "wrong-dimensions": Kind(
        ERROR, "the file is not one three-dimensional volume", SURE, "take one volume of a series"
    ),
    "unplaced": Kind(
        ERROR,
        "the file does not give the position of its voxels: left and right would be a guess",
        SURE,
        "convert again from DICOM; if the affine is known to be right, set sform_code or qform_code in the header",
    ),
    "contradictory-header": Kind(
        WARNING,
        "the header gives a position, a voxel size or a unit twice, and the two differ",
        SURE,
        "the affine is used (sform before qform); correct the header if that is wrong",
    ),
    "grid-mismatch": Kind(
        ERROR,
        "shape or affine differs from the case's other files",
        SURE,
        "bring the case's files to one grid, segmentations without interpolation",
    ),
    "not-finite": Kind(
        ERROR,
        "NaN or infinity among the voxels",
        SURE,
        "find out which step made them, and repeat it; do not just write other values",
    ),
    "empty-image": Kind(ERROR, "every voxel has the same value", SURE, "bring the real image"),
    "identical-modalities": Kind(
        ERROR, "two modalities show the same image", MEASURED, "bring the image that was copied over"
    ),
    "non-integer-labels": Kind(
        ERROR,
        "the segmentation has values that are not whole numbers",
        SURE,
        "resample with nearest neighbour; values that only scl_slope of the header has changed are accepted",
    ),
    "unknown-labels": Kind(
        ERROR,
        "the segmentation has values that the label convention does not have",
        SURE,
        "correct the segmentation, or name another --convention",
    ),
    "unsettled-convention": Kind(
        ERROR,
        "case names, labels and anatomy do not agree on one label convention",
        SURE,
        "ask whoever made the labels, then give --convention",
    ),
    "assumed-convention": Kind(
        WARNING,
        "the label convention is one that labels alone do not show",
        LIKELY,
        "look at one case, then give --convention",
    ),
    "labels-against-anatomy": Kind(
        WARNING,
        "the labels of this case lie as if two of them were exchanged",
        MEASURED,
        "look at the case; the other cases of the data set have other labels there",
    ),
    "predicted-segmentation": Kind(
        ERROR,
        "the segmentation is a prediction of fedbrats, and no truth",
        SURE,
        "bring a segmentation that a person made; clear intent_name in the header if a person has corrected this one",
    ),
    "no-tumour-map": Kind(
        ERROR,
        "the marked tumour takes up most of the brain",
        MEASURED,
        "this is a map of tissues or of the brain: bring the segmentation of the tumour",
    ),
    "implausible-tumour": Kind(
        WARNING,
        "the marked tumour is larger than usual, or in very many parts",
        LIKELY,
        "look at it; real tumours took up to 16 % of the brain in up to 19 parts",
    ),
    "missing-segmentation": Kind(
        WARNING, "no segmentation: the case cannot be trained on", SURE, "nothing, if the case is only to be predicted"
    ),
    "empty-segmentation": Kind(WARNING, "no tumour is marked", SURE, "nothing, if there is no tumour"),
    "tumour-outside-brain": Kind(
        WARNING,
        "much of the marked tumour is where no modality shows brain",
        MEASURED,
        "look whether the segmentation is mirrored or of another case",
    ),
    "partial-coverage": Kind(
        WARNING,
        "a modality leaves out part of the brain that the others show",
        MEASURED,
        "look at the image; the case is used",
    ),
    "exchanged-modalities": Kind(
        ERROR,
        "two modalities look as if their names were exchanged",
        MEASURED,
        "look at the images, and rename the files",
    ),
    "not-skull-stripped": Kind(
        ERROR,
        "there is signal outside the brain",
        MEASURED,
        "strip skull and background; a background of one value is no problem",
    ),
    "same-patient": Kind(
        WARNING, "another case has the name of the same patient", SURE, "nothing: `fedbrats split` keeps them together"
    ),
    "same-images": Kind(
        WARNING, "another case holds the same images", SURE, "keep one; `fedbrats split` keeps them together"
    ),
    "similar-names": Kind(
        WARNING,
        "names differ only in their last letter or number, or only in spelling: two patients, or one?",
        LIKELY,
        "if one patient, give --patient to `fedbrats split`",
    ),
    "passed-over": Kind(
        NOTE,
        "NIfTI files that belong to no case were ignored",
        SURE,
        "give --names, or rename what should have been found",
    ),
    "folders-without-case": Kind(
        NOTE,
        "there are folders in which no case was found",
        SURE,
        "look whether a case is missing: its files may be DICOM, or have names of your own (--names)",
    ),
    "several-folders": Kind(
        NOTE,
        "the files of a case are in several folders and were joined by their names",
        SURE,
        "nothing, if the names are those of one data set",
    ),
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


def and_more(count: int, what: str) -> str:
    """`(and 2 more files)` behind the first of three, nothing behind the only one."""
    return f" (and {count - 1} more {what}{'s' if count > 2 else ''})" if count > 1 else ""
