"""Write a sites folder: one folder a site with its cases and datalist, and split.json that says how it came about."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedbrats import __version__
from fedbrats.atomic import new_folder, write_json_atomic
from fedbrats.data.cases.case import SEGMENTATION, Case
from fedbrats.data.cases.channels import split_channel
from fedbrats.data.cases.datalist import SECTIONS, Datalist, write_datalist
from fedbrats.data.cases.layout import read_name
from fedbrats.data.nifti import read_content
from fedbrats.errors import DataError

RECORD_NAME = "split.json"
PHANTOM = "phantom"  # who made a sites folder, where nobody's scans are in it


def holds_phantoms_only(sites_dir: Path) -> bool:
    """Whether a sites folder says of itself that nobody's scans are in it."""
    try:
        return json.loads((sites_dir / RECORD_NAME).read_text(encoding="utf-8")).get("made_by") == PHANTOM
    except (OSError, ValueError, AttributeError):
        return False


@contextmanager
def new_sites_folder(folder: Path, force: bool = False) -> Iterator[Path]:
    """A folder to fill with sites, which becomes `folder` when the block ends well; nothing half-written stays.

    Raises: DataError if `folder` holds anything, unless `force` is given and it is a sites folder itself.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        if not force:
            raise DataError(f"{folder} exists already; choose another folder or replace it with --force")
        if not (folder / RECORD_NAME).is_file():
            raise DataError(f"{folder} holds no {RECORD_NAME} and so is no sites folder; --force will not replace it")
    with new_folder(folder) as temporary:
        yield temporary


def write_site(sites_dir: Path, datalist: Datalist, copy: bool) -> None:
    """Bring the cases of a site into its folder, as links or copies, and write its datalist."""
    site_dir = sites_dir / datalist.site
    site_dir.mkdir()
    sections: dict[str, Any] = {
        s: tuple(_bring_case(case, site_dir, copy) for case in getattr(datalist, s)) for s in SECTIONS
    }
    write_datalist(site_dir, replace(datalist, **sections))


def write_record(sites_dir: Path, datalists: Iterable[Datalist], origin: Mapping[str, Any]) -> None:
    """Write split.json: `origin`, what made the folder with which settings, and the counts of every site."""
    record = {"fedbrats": __version__, **origin, "sites": {one.site: count_cases(one) for one in datalists}}
    write_json_atomic(sites_dir / RECORD_NAME, record)


def count_cases(datalist: Datalist) -> dict[str, int]:
    """Cases, patients, and cases of each section."""
    sections = {section: len(getattr(datalist, section)) for section in SECTIONS}
    patients = {case.patient for case in datalist.cases}
    return {"cases": len(datalist.cases), "patients": len(patients), **sections}


def _bring_case(case: Case, site_dir: Path, copy: bool) -> Case:
    """Bring the files of a case; those whose names another command would not know get names of BraTS."""
    folder = site_dir / case.name
    folder.mkdir()
    brought = {role: folder / _name_of(path, case, role, folder) for role, path in case.files.items()}
    for role, path in case.files.items():
        if split_channel(path)[1] is not None:  # no link can be to a part of a file
            content = gzip.compress(read_content(path), compresslevel=6, mtime=0)
            brought[role].write_bytes(content)
        elif copy:
            shutil.copyfile(path, brought[role])
        else:
            brought[role].symlink_to(path.resolve())
    return replace(case, images={m: brought[m] for m in case.images}, label=brought.get(SEGMENTATION))


def _name_of(path: Path, case: Case, role: str, folder: Path) -> str:
    named = read_name(folder / path.name)
    if split_channel(path)[1] is None and named and (named.case, named.role) == (case.name, role):
        return path.name
    return f"{case.name}_{role}" + (".nii" if path.name.lower().endswith(".nii") else ".nii.gz")
