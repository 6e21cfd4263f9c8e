"""Find BraTS cases in a folder, whatever the year named its files, and say which patient each is of."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fedbrats.errors import DataError

MODALITIES = ("t1", "t1ce", "t2", "flair")  # the channel order everywhere
SEGMENTATION = "seg"

# What the years call each file: BraTS 2017-2021 `_t1ce`, BraTS 2023-2024 `-t1c`. `segm` is BraTS20_Training_355's.
_SUFFIXES = {
    "t1": "t1",
    "t1n": "t1",
    "t1ce": "t1ce",
    "t1c": "t1ce",
    "t1gd": "t1ce",
    "t2": "t2",
    "t2w": "t2",
    "flair": "flair",
    "t2f": "flair",
    "seg": SEGMENTATION,
    "segm": SEGMENTATION,
}
_FILE_NAME = re.compile(rf"(?P<case>.+)[_-](?P<suffix>{'|'.join(_SUFFIXES)})\.nii(\.gz)?", re.IGNORECASE)

# From 2017 to 2019 a patient keeps the name behind the year; 2017 has TCIA_131 where 2018 has TCIA01_131.
_PATIENT_2017 = re.compile(
    r"brats_?(?:17|18|19|2017|2018|2019)_(?P<source>[a-z0-9]+)_(?P<number>[a-z0-9]+)_\d+", re.IGNORECASE
)
# BraTS 2023 renamed BraTS2021_00002 to BraTS-GLI-00002-000; what follows the patient's number is the time point.
_PATIENT_2021 = re.compile(r"brats_?2021_(?P<number>\d+)", re.IGNORECASE)
_PATIENT_2023 = re.compile(r"brats-(?P<cohort>[a-z]+)-(?P<number>\d+)-\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Case:
    """One examination of one patient: where its files are; nothing has been read."""

    name: str
    patient: str
    images: dict[str, Path]  # by modality; a modality that was not found is absent
    label: Path | None = None
    doubled: dict[str, tuple[Path, ...]] = field(default_factory=dict)  # further files for a modality or `seg`

    @property
    def files(self) -> dict[str, Path]:
        """The files that there are, by modality or `seg`."""
        return self.images | ({SEGMENTATION: self.label} if self.label else {})

    @property
    def missing(self) -> tuple[str, ...]:
        """The modalities without a file, in channel order."""
        return tuple(m for m in MODALITIES if m not in self.images)

    @property
    def image_paths(self) -> tuple[Path, ...]:
        """The four image files in channel order. Raises: DataError naming the modalities that are missing."""
        if self.missing:
            raise DataError(f"case {self.name} has no {', '.join(self.missing)} image; all of {MODALITIES} are needed")
        return tuple(self.images[m] for m in MODALITIES)


def find_cases(folder: Path) -> list[Case]:
    """Every case below `folder`, sorted by name; cases with missing or doubled files too.

    Raises: DataError if the folder does not exist or holds no BraTS file at all.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    cases = [case for parent, names in _walk(folder) for case in _cases_of_one_folder(parent, names)]
    if not cases:
        raise DataError(
            f"{folder} holds no BraTS case: expected files such as CASE_t1.nii.gz, CASE_t1ce.nii.gz or CASE-t1n.nii.gz"
        )
    return sorted(cases, key=lambda case: case.name)


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
    return case_name


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every folder below with its visible files; linked folders are followed once, so that no loop can hold us."""
    visited: set[str] = set()
    for parent, subfolders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(parent)) in visited:
            subfolders.clear()
            continue
        visited.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield Path(parent), sorted(name for name in names if not name.startswith("."))


def _cases_of_one_folder(parent: Path, names: list[str]) -> list[Case]:
    found: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for name in names:
        if match := _FILE_NAME.fullmatch(name):
            found[match["case"]][_SUFFIXES[match["suffix"].lower()]].append(parent / name)
    _adopt_stray_segmentation(found)
    return [_make_case(name, files) for name, files in found.items()]


def _adopt_stray_segmentation(found: dict[str, dict[str, list[Path]]]) -> None:
    """A segmentation alone beside one case is that case's: BraTS20_Training_355's is W39_1998.09.19_Segm.nii."""
    strays = [name for name, files in found.items() if list(files) == [SEGMENTATION]]
    others = [name for name in found if name not in strays]
    if len(strays) == 1 and len(others) == 1 and SEGMENTATION not in found[others[0]]:
        found[others[0]][SEGMENTATION] = found.pop(strays[0])[SEGMENTATION]


def _make_case(name: str, files: dict[str, list[Path]]) -> Case:
    return Case(
        name=name,
        patient=patient_of(name),
        images={m: files[m][0] for m in MODALITIES if m in files},
        label=files[SEGMENTATION][0] if SEGMENTATION in files else None,
        doubled={role: tuple(paths[1:]) for role, paths in files.items() if len(paths) > 1},
    )
