"""Cases that a list names: a CSV with a column a modality, or a JSON as MONAI, the Decathlon and fedbrats write it.

Paths are relative to the list's folder. Columns and keys are the words for the modalities, or those of --names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fedbrats.data.cases.channels import channel_path
from fedbrats.data.cases.names import MODALITIES, SEGMENTATION, OwnNames
from fedbrats.data.cases.numbered import read_channels
from fedbrats.data.cases.table import read_table
from fedbrats.errors import DataError

CASE_COLUMNS = ("case", "case_id", "name", "id", "subject", "subject_id", "patient", "patient_id")  # the first there is
PATIENT_COLUMNS = ("patient", "patient_id", "subject", "subject_id")
LABEL_COLUMNS = ("label", "mask")  # besides the words for a segmentation
ENDINGS = (".csv", ".tsv", ".json")

Listed = tuple[str, str | None, dict[str, Path]]  # a case, its patient where that is said, its files by role


def read_list(path: Path, own: OwnNames) -> list[Listed]:
    """The cases of a list, in its order. Raises: DataError saying what cannot be used of it."""
    rows = _read_json(path) if path.suffix.lower() == ".json" else [(row, {}) for row in read_table(path)]
    cases = [_read_row(path, number, row, about, own) for number, (row, about) in enumerate(rows, start=1)]
    if not cases:
        raise DataError(f"{path} lists no case")
    return cases


def _read_json(path: Path) -> list[tuple[Mapping[str, Any], dict[str, Any]]]:
    """The items of every section, each with the document that they are of."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}") from None
    about = document if isinstance(document, dict) else {}
    sections = about.values() if about else [document]
    items = [item for section in sections if isinstance(section, list) for item in section]
    return [
        ({"image": item} if isinstance(item, str) else item, about) for item in items if isinstance(item, str | dict)
    ]


def _read_row(path: Path, number: int, row: Mapping[str, Any], about: dict[str, Any], own: OwnNames) -> Listed:
    lowered = {str(key).strip().lower(): value for key, value in row.items() if value not in (None, "")}
    files: dict[str, Path] = {}
    for role, file in _files_of(path, number, row, about, own):
        if files.setdefault(role, file) != file:
            raise DataError(
                f"{path}, case {number} has two files for {role}, {files[role].name} and {file.name}; say which column "
                f"it is with --names {role}=COLUMN"
            )
    label = next((lowered[key] for key in LABEL_COLUMNS if key in lowered), None)
    if isinstance(label, str):
        files.setdefault(SEGMENTATION, path.parent / label)
    if not files:
        columns = ", ".join(map(str, row))
        raise DataError(f"{path}, case {number}: none of {columns} is a modality; name them with --names t1=COLUMN,...")
    name = next((str(lowered[key]).strip() for key in CASE_COLUMNS if key in lowered), None) or _stem(files)
    if not name.isprintable() or set(name) & set("/\\") or name.startswith("."):
        raise DataError(
            f"{path}, case {number}: {name!r} cannot be the name of a case, because folders are called after it"
        )
    patient = next((str(lowered[key]).strip() for key in PATIENT_COLUMNS if key in lowered), None)
    return name, patient, files


def _files_of(
    path: Path, number: int, row: Mapping[str, Any], about: dict[str, Any], own: OwnNames
) -> Iterator[tuple[str, Path]]:
    image = row.get("image")
    if image is not None:
        channels = read_channels(about, path, own)
        if isinstance(image, list) and len(image) > max(channels):
            yield from ((role, path.parent / str(image[channel])) for channel, role in channels.items())
        elif isinstance(image, str):
            yield from ((role, channel_path(path.parent / image, channel)) for channel, role in channels.items())
        else:
            raise DataError(f"{path}, case {number}: `image` is not a file or {len(MODALITIES)} files")
    for column, value in row.items():
        if (role := own.role_of(str(column))) and isinstance(value, str) and value.strip():
            yield role, path.parent / value.strip()


def _stem(files: Mapping[str, Path]) -> str:
    """The name of a case that the list does not name: that of its first file."""
    return next(iter(files.values())).name.partition(".")[0]
