"""Data sets whose dataset.json says what the numbers of channels mean: nnU-Net's raw layout, and the Decathlon's.

nnU-Net       imagesTr/CASE_0000.nii.gz to CASE_0003.nii.gz, labelsTr/CASE.nii.gz; `channel_names`, before `modality`
Decathlon     imagesTr/CASE.nii.gz with four channels in one file, labelsTr/CASE.nii.gz; `modality`
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedbrats.data.cases.channels import channel_path
from fedbrats.data.cases.names import MODALITIES, SEGMENTATION, OwnNames
from fedbrats.errors import DataError

DATASET = "dataset.json"
_IMAGES = re.compile(r"images(?P<part>[A-Z][a-z]+)")  # imagesTr, imagesTs, imagesVal
_NUMBERED = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})\.nii(\.gz)?", re.IGNORECASE)
_ENDING = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)

Roles = dict[str, list[Path]]


@dataclass
class Numbered:
    """The cases of such data sets, by folder and name, and all their files."""

    cases: dict[tuple[Path, str], Roles] = field(default_factory=dict)
    files: set[Path] = field(default_factory=set)


def find_numbered(folder: Path, walk: Callable[[Path], Iterable[Path]], own: OwnNames) -> Numbered:
    """Every such data set at or below `folder`, or around it where `folder` is its imagesTr.

    walk: lists the NIfTI files of a folder. Raises: DataError where a dataset.json does not tell the four modalities.
    """
    found = Numbered()
    for root in _find_roots(folder):
        document = _read_dataset(root / DATASET)
        if not (document.get("channel_names") or document.get("modality") or own.numbers):
            continue
        labels = {path.name: path for d in sorted(root.glob("labels*")) for path in walk(d)}
        channels: dict[int, str] = {}
        for images in sorted(d for d in root.iterdir() if _IMAGES.fullmatch(d.name) and d.is_dir()):
            is_asked = folder == images or folder in images.parents
            if is_asked and (files := list(walk(images))):
                channels = channels or read_channels(document, root / DATASET, own)
                _add_cases(found, files, labels, channels)
    return found


def read_channels(document: dict[str, Any], path: Path, own: OwnNames) -> dict[int, str]:
    """Channel -> modality, as a dataset.json or a datalist says. Raises: DataError where one of the four is missing."""
    named = document.get("channel_names") or document.get("modality") or {}
    pairs = {int(n): str(text) for n, text in named.items() if str(n).isdecimal()} if isinstance(named, dict) else {}
    channels = {n: own.role_of(text) for n, text in pairs.items()} | own.numbers
    roles = {n: role for n, role in sorted(channels.items()) if role in MODALITIES}
    for role in roles.values():
        if len(same := [f"{n:04d}" for n, other in roles.items() if other == role]) > 1:
            raise DataError(
                f"{path} has {role} in channels {' and '.join(same)}; say which with --names {role}={same[0]}"
            )
    if missing := [m for m in MODALITIES if m not in roles.values()]:
        said = ", ".join(f"{n} = {text}" for n, text in pairs.items()) or "no channel_names"
        raise DataError(
            f"{path} does not say which channel is {', '.join(missing)} (it has {said}); name it with "
            f"--names {missing[0]}=NAME, where NAME is a channel's name or its number as 0000"
        )
    return roles


def _find_roots(folder: Path) -> list[Path]:
    """The folders with an imagesTr or its like, at or below `folder`, or around it."""
    around = [folder.parent] if _IMAGES.fullmatch(folder.name) else []
    below = [path.parent for path in folder.rglob("images*") if path.is_dir() and _IMAGES.fullmatch(path.name)]
    return sorted({*around, *below})


def _read_dataset(path: Path) -> dict[str, Any]:
    """The document, or an empty one where there is none that can be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _add_cases(found: Numbered, files: list[Path], labels: dict[str, Path], channels: dict[int, str]) -> None:
    """Add the cases of one folder of images."""
    is_whole = any(path.name in labels for path in files) or not all(_NUMBERED.fullmatch(path.name) for path in files)
    for path in files:
        match = None if is_whole else _NUMBERED.fullmatch(path.name)
        case = match["case"] if match else _ENDING.sub("", path.name)
        roles = found.cases.setdefault((path.parent, case), {})
        if match is None:
            roles |= {role: [channel_path(path, channel)] for channel, role in channels.items()}
        elif role := channels.get(int(match["channel"])):
            roles.setdefault(role, []).append(path)
        found.files.add(path)
        label = labels.get(f"{case}.nii.gz") or labels.get(f"{case}.nii")
        if label and SEGMENTATION not in roles:
            roles[SEGMENTATION] = [label]
            found.files.add(label)
