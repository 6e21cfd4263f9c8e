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
from typing import NamedTuple

from fedbrats.data.cases.names import NO_OWN_NAMES, SEGMENTATION, OwnNames, other_split, role_of, split_name
from fedbrats.data.cases.numbered import find_numbered

_NIFTI = re.compile(r"(?P<stem>.+)\.nii(\.gz)?", re.IGNORECASE)
_BIDS = re.compile(
    r"(?P<case>sub-[a-z0-9]+(_ses-[a-z0-9]+)?)(?P<entities>(_[a-z0-9]+-[a-z0-9+]+)*)_(?P<suffix>[a-z0-9]+)",
    re.IGNORECASE,
)
_BIDS_SUFFIXES = {"t1w": "t1", "t2w": "t2", "flair": "flair", "dseg": SEGMENTATION, "mask": SEGMENTATION}
_OF_TUMOUR = re.compile(r"(desc|label)-\w*(tumou?r|lesion|glioma)", re.IGNORECASE)
_NO_OTHER_DIGITS = re.compile(r"[\s_.-]\D*")

Roles = dict[str, list[Path]]  # a modality or `seg` -> its files
Place = tuple[Path, str]  # a folder and the name of a case in it


class Named(NamedTuple):
    """What a file's name and folders tell.

    Attributes:
        by_folder: the name of the case by the folders around, for where another case has the same files' names.
        other: another reading of the name, as case and role.
    """

    case: str
    role: str
    by_folder: str | None = None
    other: tuple[str, str] | None = None


def find_files(folder: Path, own: OwnNames = NO_OWN_NAMES) -> dict[Place, Roles]:
    """The files of every case below `folder`, by the folder and name of the case, those of several folders joined.

    Raises: DataError for a dataset.json that does not say which channel is which modality.
    """
    numbered = find_numbered(folder, walk_nifti, own)
    named = {path: told for path in walk_nifti(folder) if path not in numbered.files and (told := read_name(path, own))}
    found: dict[Place, Roles] = defaultdict(lambda: defaultdict(list))
    for path, told in _by_folders_where_alike(_read_as_neighbours(named)).items():
        found[path.parent, told.case][told.role].append(path)
    _drop_segmentations_of_images(found)
    _adopt_stray_segmentations(found)
    return numbered.cases | _join_folders(found)


def walk_nifti(folder: Path) -> Iterator[Path]:
    """Every visible NIfTI file below; linked folders are followed once, so that no loop can hold us."""
    for parent, _, names in walk_visible(folder):
        yield from (parent / name for name in names if _NIFTI.fullmatch(name))


def walk_visible(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Every visible folder with its folders and files by name; linked folders are followed once."""
    visited: set[str] = set()
    for parent, subfolders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(parent)) in visited:
            subfolders.clear()
            continue
        visited.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield Path(parent), list(subfolders), sorted(name for name in names if not name.startswith("."))


def read_name(path: Path, own: OwnNames = NO_OWN_NAMES) -> Named | None:
    """The case and role that a file's name tells, or its folder's where that is called after a file or a modality.

    CASE_t1.nii.gz, CASE_t1.nii/any.nii, CASE/t1.nii.gz and t1/CASE.nii.gz are the T1 of CASE. None: it tells neither.
    """
    home, above = path.parent.name, path.parent.parent.name
    match = _NIFTI.fullmatch(path.name)
    stem = match["stem"] if match else path.name
    if split := own.split_name(stem):
        return Named(split[0], split[1], home) if split[0] else Named(home, split[1], f"{above}_{home}")
    if (split := own.split_name(home)) and not split[0]:
        return Named(stem, split[1], above)
    if (folder := _NIFTI.fullmatch(home)) and (split := split_name(folder["stem"])):
        return Named(*split)
    if role := role_of(stem):
        return Named(home, role, f"{above}_{home}")
    if bids := _BIDS.fullmatch(stem):
        return Named(bids["case"], role) if (role := _bids_role(bids)) else None
    if split := split_name(stem):
        return Named(*split, other=other_split(stem))
    if role := role_of(home):
        return Named(stem, role, above)
    return None


def _bids_role(match: re.Match[str]) -> str | None:
    """The role by BIDS: a T1w with an entity `ce` is T1ce; a segmentation is one of a tumour, or of nothing named."""
    entities = match["entities"]
    role = _BIDS_SUFFIXES.get(match["suffix"].lower()) or role_of(match["suffix"])
    if role == "t1" and re.search(r"_ce-(?!none)", entities, re.IGNORECASE):
        return "t1ce"
    is_of_other = re.search(r"_(desc|label)-", entities, re.IGNORECASE) or match["suffix"].lower() == "mask"
    if role == SEGMENTATION and is_of_other and not _OF_TUMOUR.search(entities):
        return None
    return role


def _read_as_neighbours(named: dict[Path, Named]) -> dict[Path, Named]:
    """Read a name that can be read in two ways as the case that other files of its folder are of."""
    plain = {(path.parent, told.case) for path, told in named.items() if not told.other}
    return {
        path: Named(*told.other)
        if told.other and (path.parent, told.other[0]) in plain and (path.parent, told.case) not in plain
        else told
        for path, told in named.items()
    }


def _by_folders_where_alike(named: dict[Path, Named]) -> dict[Path, Named]:
    """Take the names of folders for files that would be of one case and role, such as */session_1/T1.nii.gz."""
    homes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for told in named.values():
        if told.by_folder:
            homes[told.case, told.role].add(told.by_folder)
    alike = {case for (case, _), folders in homes.items() if len(folders) > 1}
    return {
        path: told._replace(case=told.by_folder) if told.by_folder and told.case in alike else told
        for path, told in named.items()
    }


def _drop_segmentations_of_images(found: dict[Place, Roles]) -> None:
    """FSL FAST and others write the tissues of one image as CASE_t1_seg; a case may be called CASE_t1 too."""
    with_images = {name for (_, name), roles in found.items() if set(roles) != {SEGMENTATION}}
    for place in [place for place in found if place[1] not in with_images and is_name_of_image(place[1])]:
        del found[place]


def is_name_of_image(name: str) -> bool:
    """Whether a name ends as that of one image of a case does."""
    split = split_name(name)
    return split is not None and split[1] != SEGMENTATION


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
        alone = len(others) == 1
        derived = [name for name in strays if any(_is_derived(name, other, alone) for other in others)]
        for name in derived:
            del found[folder, name]
        foreign = [name for name in strays if name not in derived]
        if alone and len(foreign) == 1 and SEGMENTATION not in (own := found[folder, others[0]]):
            own[SEGMENTATION] = found.pop((folder, foreign[0]))[SEGMENTATION]


def _is_derived(name: str, case: str, alone: bool) -> bool:
    """Whether a name is that of a case and something more; beside other cases, without another number."""
    if not name.lower().startswith(case.lower()):
        return False
    return alone or bool(_NO_OTHER_DIGITS.fullmatch(name[len(case) :]))


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


def why_passed_over(path: Path) -> str:
    """Why a NIfTI file is of no case, in words."""
    match = _NIFTI.fullmatch(path.name)
    split = split_name(match["stem"] if match else path.name)
    if split is None or split[1] != SEGMENTATION:
        return (
            "no name of a modality or of a segmentation; if it is one, say which with --names, such as "
            "--names seg=PART_OF_THE_NAME"
        )
    if is_name_of_image(split[0]):
        return "a segmentation of one image, and not of the case"
    return "by its name another segmentation than the case's"


def find_folders_without_case(folder: Path, used: Iterable[Path]) -> list[Path]:
    """The outermost folders below `folder` in which no file is of a case; those inside a case's folder do not count."""
    homes = {path.parent for path in used}
    with_case = {parent for home in homes for parent in (home, *home.parents)}
    return [
        parent / name
        for parent, subfolders, _ in walk_visible(folder)
        if parent in with_case and parent not in homes
        for name in subfolders
        if parent / name not in with_case
    ]


def find_passed_over(folder: Path, used: Iterable[Path]) -> list[Path]:
    """The NIfTI files below `folder` that are of no case."""
    taken = set(used)
    return [path for path in walk_nifti(folder) if path not in taken]
