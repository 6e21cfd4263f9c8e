"""Which case and role each file of a folder has: by its own name, by its folder's, and put together across folders.

A case may be one folder, or lie in several: a folder a modality, a folder a file (as Kaggle and Windows unpack), its
segmentation apart. What is about one image of a case (FSL's `CASE_t1_seg`, a tissue map) is none of the case's files.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

SEGMENTATION = "seg"

# What the years call each file: BraTS 2017-2021 `_t1ce`, BraTS 2023-2024 `-t1c`. `segm` is BraTS20_Training_355's.
SUFFIXES = {
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
_ROLE = "|".join(SUFFIXES)
_NIFTI = re.compile(r"(?P<stem>.+)\.nii(\.gz)?", re.IGNORECASE)
_CASE_AND_ROLE = re.compile(rf"(?P<case>.+)[_-](?P<role>{_ROLE})", re.IGNORECASE)
_OF_ONE_IMAGE = re.compile(rf".+[_-]({'|'.join(s for s, role in SUFFIXES.items() if role != SEGMENTATION)})", re.I)

Roles = dict[str, list[Path]]  # a modality or `seg` -> its files
Place = tuple[Path, str]  # a folder and the name of a case in it


def find_files(folder: Path) -> dict[Place, Roles]:
    """The files of every case below `folder`, by the folder and name of the case, those of several folders joined."""
    found: dict[Place, Roles] = defaultdict(lambda: defaultdict(list))
    for path in walk_nifti(folder):
        if named := read_name(path):
            found[path.parent, named[0]][named[1]].append(path)
    _drop_segmentations_of_images(found)
    _adopt_stray_segmentations(found)
    return _join_folders(found)


def walk_nifti(folder: Path) -> Iterator[Path]:
    """Every visible NIfTI file below; linked folders are followed once, so that no loop can hold us."""
    visited: set[str] = set()
    for parent, subfolders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(parent)) in visited:
            subfolders.clear()
            continue
        visited.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith(".") and _NIFTI.fullmatch(name))


def read_name(path: Path) -> tuple[str, str] | None:
    """The case and role that a file's name tells, or its folder's where that is called after a file or a modality.

    CASE_t1.nii.gz, CASE_t1.nii/any.nii, CASE/t1.nii.gz and t1/CASE.nii.gz are the T1 of CASE. None: it tells neither.
    """
    home = path.parent.name
    if (folder := _NIFTI.fullmatch(home)) and (named := _split_name(folder["stem"])):
        return named
    match = _NIFTI.fullmatch(path.name)
    stem = match["stem"] if match else path.name
    if _CASE_AND_ROLE.fullmatch(stem):
        return _split_name(stem)
    if role := SUFFIXES.get(stem.lower()):
        return home, role
    if role := SUFFIXES.get(home.lower()):
        return stem, role
    return None


def _split_name(stem: str) -> tuple[str, str] | None:
    match = _CASE_AND_ROLE.fullmatch(stem)
    if match is None:
        return None
    return match["case"], SUFFIXES[match["role"].lower()]


def _drop_segmentations_of_images(found: dict[Place, Roles]) -> None:
    """FSL FAST and others write the tissues of one image as CASE_t1_seg; a case may be called CASE_t1 too."""
    with_images = {name for (_, name), roles in found.items() if set(roles) != {SEGMENTATION}}
    for place in [place for place in found if place[1] not in with_images and _OF_ONE_IMAGE.fullmatch(place[1])]:
        del found[place]


def _adopt_stray_segmentations(found: dict[Place, Roles]) -> None:
    """A segmentation alone beside one case is that case's: BraTS20_Training_355's is W39_1998.09.19_Segm.nii.

    Not where its name is the case's and something more (CASE_approx_seg, CASE_predicted_seg): that is another one.
    """
    by_folder: dict[Path, list[str]] = defaultdict(list)
    for folder, name in found:
        by_folder[folder].append(name)
    for folder, names in by_folder.items():
        strays = [name for name in names if list(found[folder, name]) == [SEGMENTATION]]
        others = [name for name in names if name not in strays]
        if len(others) != 1:
            continue
        own = found[folder, others[0]]
        derived = [name for name in strays if name.lower().startswith(others[0].lower())]
        foreign = [name for name in strays if name not in derived]
        for name in derived:
            del found[folder, name]
        if len(foreign) == 1 and SEGMENTATION not in own:
            own[SEGMENTATION] = found.pop((folder, foreign[0]))[SEGMENTATION]


def _join_folders(found: dict[Place, Roles]) -> dict[Place, Roles]:
    """Join what has one case's name in several folders, where no role would be there twice.

    A second segmentation joins too, as a doubled one; two folders with the same images stay two cases.
    """
    by_name: dict[str, list[Place]] = defaultdict(list)
    for place in found:
        by_name[place[1]].append(place)
    for places in by_name.values():
        main, *others = sorted(places, key=lambda place: -len(found[place]))
        for other in others:
            shared = found[main].keys() & found[other].keys()
            if not shared or found[other].keys() == {SEGMENTATION}:
                for role, paths in found.pop(other).items():
                    found[main][role] += paths
    return found


def find_passed_over(folder: Path, used: Iterable[Path]) -> list[Path]:
    """The NIfTI files below `folder` that are of no case."""
    taken = set(used)
    return [path for path in walk_nifti(folder) if path not in taken]
