"""Find cases in a folder, whatever a year or a hospital named their files, and say which patient each is of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fedbrats.data.cases.layout import Roles, find_files, walk_nifti
from fedbrats.data.cases.listed import ENDINGS, read_list
from fedbrats.data.cases.names import MODALITIES, NO_OWN_NAMES, SEGMENTATION, OwnNames
from fedbrats.data.cases.patients import patient_of
from fedbrats.errors import DataError

__all__ = ["MODALITIES", "SEGMENTATION", "Case", "find_cases", "patient_of"]

_NNUNET = re.compile(r".+_000\d\.nii(\.gz)?", re.IGNORECASE)
_OTHER_FORMATS = {".dcm": "DICOM files", ".mha": "MetaImage files", ".nrrd": "NRRD files", ".mgz": "FreeSurfer files"}


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


def find_cases(folder: Path, own: OwnNames = NO_OWN_NAMES) -> list[Case]:
    """Every case below `folder`, or in the list that it is, sorted by name; cases with missing or doubled files too.

    own: a hospital's own words for the modalities.

    Raises: DataError if there is no such folder or list, or it holds no case at all.
    """
    if folder.is_file() and folder.suffix.lower() in ENDINGS:
        return sorted(_listed_cases(folder, own), key=lambda case: case.name)
    if not folder.is_dir():
        what = "a folder, and no list of cases (.csv, .json)" if folder.exists() else "a folder"
        raise DataError(f"{folder} is not {what}")
    cases = [_make_case(name, roles) for (_, name), roles in find_files(folder, own).items()]
    if not cases:
        raise DataError(
            f"{folder} holds no case: expected files such as CASE_t1.nii.gz, CASE_t1ce.nii.gz or CASE-t1n.nii.gz"
            f"{_what_else(folder)}; `fedbrats check --help` lists the names that are recognised, --names takes others"
        )
    return sorted(cases, key=lambda case: case.name)


def _listed_cases(path: Path, own: OwnNames) -> Iterator[Case]:
    for name, patient, files in read_list(path, own):
        images = {m: files[m] for m in MODALITIES if m in files}
        yield Case(name, patient or patient_of(name), images, files.get(SEGMENTATION))


def _what_else(folder: Path) -> str:
    """A hint, where what the folder holds is known: half a sentence, or nothing."""
    if any(_NNUNET.fullmatch(path.name) for path in walk_nifti(folder)):
        return (
            "; these files are named as nnU-Net's (CASE_0000.nii.gz), whose numbers its dataset.json explains: put it "
            "beside imagesTr, or say --names t1=0000,t1ce=0001,..."
        )
    for ending, what in _OTHER_FORMATS.items():
        if next(folder.rglob(f"*{ending}"), None):
            return f"; it holds {what} ({ending}), which must be converted to NIfTI first"
    return ""


def _make_case(name: str, files: Roles) -> Case:
    return Case(
        name=name,
        patient=patient_of(name),
        images={m: files[m][0] for m in MODALITIES if m in files},
        label=files[SEGMENTATION][0] if SEGMENTATION in files else None,
        doubled={role: tuple(paths[1:]) for role, paths in files.items() if len(paths) > 1},
    )
