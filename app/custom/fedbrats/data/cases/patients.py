"""Which patient a case is of: told by its name, by a pattern or by a table; and names that leave it in doubt.

What names tell, whatever the year:

BraTS 2017-2019     Brats18_CBICA_ABM_1: CBICA_ABM, in every year
BraTS 2021-2024     BraTS2021_00002, BraTS-GLI-00002-000 and -001: number 2 of its cohort
BIDS                sub-7_ses-2: sub-7
a session behind    _ses-2, _time1, _tp2, _visit1, _scan2, _week-040, _FU003d, _pre, _postop, _baseline, _followup
a date behind       PAT7_20240101, TCGA-02-0001_1996.08.23: what is before it
UPENN-GBM           UPENN-GBM-00001_11 and _21: UPENN-GBM-00001
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

# From 2017 to 2019 a patient keeps the name behind the year; 2017 has TCIA_131 where 2018 has TCIA01_131.
_PATIENT_2017 = re.compile(
    r"brats_?(?:17|18|19|2017|2018|2019)_(?P<source>[a-z0-9]+)_(?P<number>[a-z0-9]+)_\d+", re.IGNORECASE
)
# BraTS 2023 renamed BraTS2021_00002 to BraTS-GLI-00002-000; what follows the patient's number is the time point.
_PATIENT_2021 = re.compile(r"brats_?2021_(?P<number>\d+)", re.IGNORECASE)
_PATIENT_2023 = re.compile(r"brats-(?P<cohort>[a-z]+)-(?P<number>\d+)-\d+", re.IGNORECASE)
_UPENN = re.compile(r"(?P<patient>UPENN-GBM-\d+)_\d\d", re.IGNORECASE)
_BIDS = re.compile(r"(?P<patient>sub-[a-z0-9]+)(_.*)?", re.IGNORECASE)
_DATE = r"(19|20)\d\d[._-]?(0[1-9]|1[0-2])[._-]?(0[1-9]|[12]\d|3[01])"
_WORDS = "session|ses|timepoint|time|tp|visit|scan|exam|study|week|month|day|fu"
_ALONE = "baseline|follow-?up|pre-?op|post-?op|pre|post"
_BEHIND = re.compile(rf"[_-]({_DATE}|({_WORDS})[_-]?\d+[a-z]?([_-]\d+)?|({_ALONE})[_-]?\d*)$", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s_.-]+")
_NO_NUMBERS_BESIDE = re.compile(r"(?<!\d)-|-(?!\d)")
_IN_DOUBT = re.compile(r"(?P<stem>.*\d.*)[_.-](?P<last>\d{1,2}|[a-z])", re.IGNORECASE)


def patient_of(case_name: str) -> str:
    """The patient that a case is of, the same for every year and time point; the case's own name if nothing tells.

    BraTS 2020 numbers its cases anew (BraTS20_Training_355), so that there only the images can tell.
    """
    if match := _PATIENT_2017.fullmatch(case_name):
        source = re.sub(r"^TCIA\d+$", "TCIA", match["source"].upper())
        return f"{source}_{match['number'].upper()}"
    if match := _PATIENT_2021.fullmatch(case_name):
        return f"GLI-{match['number']}"
    if match := _PATIENT_2023.fullmatch(case_name):
        return f"{match['cohort'].upper()}-{match['number']}"
    for pattern in (_UPENN, _BIDS):
        if match := pattern.fullmatch(case_name):
            return match["patient"]
    name = case_name
    while (shorter := _BEHIND.sub("", name)) and shorter != name:
        name = shorter
    return name


def find_look_alikes(names: Iterable[str]) -> list[list[str]]:
    """Groups of names that differ only in a last letter or number of two digits, such as AB12_1 and AB12_2.

    That may be a session or a patient: nothing tells. Names whose patient is known are left out.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set(names)):
        if (match := _IN_DOUBT.fullmatch(name)) and patient_of(name) == name:
            groups[match["stem"].lower()].append(name)
    return [group for group in groups.values() if len(group) > 1]


def find_other_spellings(patients: Iterable[str]) -> list[list[str]]:
    """Groups of patients whose names differ only in capitals, separators or leading zeros: PAT_7, pat-07 and PAT7.

    A separator between two numbers tells: P1_11 and P11_1 are two.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for patient in sorted(set(patients)):
        groups[_spelled_plainly(patient)].append(patient)
    return [group for group in groups.values() if len(group) > 1]


def _spelled_plainly(patient: str) -> str:
    text = unicodedata.normalize("NFKC", patient).casefold()
    text = _NO_NUMBERS_BESIDE.sub("", _SEPARATORS.sub("-", text))
    return re.sub(r"0*(\d+)", r"\1", text)
