"""What lies in a data set and is of no case: files, with the reason, and folders in which nothing was found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fedbrats.data.cases.case import Case
from fedbrats.data.cases.channels import file_of
from fedbrats.data.cases.layout import find_folders_without_case, find_passed_over, walk_visible, why_passed_over
from fedbrats.data.check.problems import Problem, and_more, make_problem

_MOST = 20  # kinds of names that are told one by one
_NAMED = 3  # folders that are named


class LeftOver(NamedTuple):
    """What was found.

    Attributes:
        notes: one for every kind of name that was not taken, and one for the folders without a case.
        folders: how many folders have no case.
    """

    notes: tuple[Problem, ...] = ()
    folders: int = 0


def find_left_over(folder: Path, cases: Sequence[Case]) -> LeftOver:
    """What of `folder` is of none of its cases; nothing of a list."""
    if not folder.is_dir():
        return LeftOver()
    used = [file_of(path) for case in cases for path in (*case.files.values(), *sum(case.doubled.values(), ()))]
    notes = list(_tell_of_files(find_passed_over(folder, used), cases))
    if empty := find_folders_without_case(folder, used):
        named = ", ".join(f"{path.name} ({_content_of(path)})" for path in empty[:_NAMED])
        more = f" and {len(empty) - _NAMED} more" if len(empty) > _NAMED else ""
        text = f"no case was found in {len(empty)} folder{'s' if len(empty) > 1 else ''}: {named}{more}"
        notes.append(make_problem("", empty[0], "folders-without-case", text))
    return LeftOver(tuple(notes), len(empty))


def _tell_of_files(paths: Sequence[Path], cases: Sequence[Case]) -> Iterator[Problem]:
    """Files that are called alike but for the name of their case are one note: a data set has thousands of them."""
    homes: dict[Path, set[str]] = defaultdict(set)
    for case in cases:
        for path in case.files.values():
            homes[path.parent].add(case.name)
    alike: dict[str, list[tuple[Path, str]]] = defaultdict(list)
    for path in paths:
        near = homes.get(path.parent, set())
        owner = next((name for name in sorted(near, key=len, reverse=True) if path.name.startswith(name)), "")
        owner = owner or (next(iter(near)) if len(near) == 1 else "")
        alike[path.name.replace(owner, "CASE") if owner else path.name].append((path, owner))
    for found in list(alike.values())[:_MOST]:
        first, owner = found[0]
        text = f"{first.name}{and_more(len(found), 'file')}: {why_passed_over(first)}"
        yield make_problem(owner if len(found) == 1 else "", first, "passed-over", text)
    if others := [path for found in list(alike.values())[_MOST:] for path, _ in found]:
        text = f"{others[0].name}{and_more(len(others), 'file')} of other names were not taken either"
        yield make_problem("", others[0], "passed-over", text)


def _content_of(folder: Path) -> str:
    """What a folder holds, in words."""
    endings = {path.suffix.lower() for path in _files_below(folder)}
    if not endings:
        return "empty"
    if ".dcm" in endings:
        return "DICOM files: convert them to NIfTI first"
    return "NIfTI files" if endings & {".nii", ".gz"} else "other files"


def _files_below(folder: Path) -> Iterator[Path]:
    return (parent / name for parent, _, names in walk_visible(folder) for name in names)
