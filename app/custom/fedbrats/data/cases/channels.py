"""One channel of a file that holds several images: `FILE.nii.gz[2]` stands for its third.

The Medical Segmentation Decathlon keeps the four modalities of a case in one four-dimensional file.
"""

from __future__ import annotations

import re
from pathlib import Path

_CHANNEL = re.compile(r"(?P<file>.+\.nii(\.gz)?)\[(?P<channel>\d{1,3})\]", re.IGNORECASE)


def channel_path(file: Path, channel: int) -> Path:
    """The path that stands for a channel of `file`."""
    return file.with_name(f"{file.name}[{channel}]")


def split_channel(path: Path) -> tuple[Path, int | None]:
    """The file on the disk, and the channel that is meant; None: the whole file."""
    match = _CHANNEL.fullmatch(path.name)
    return (path.with_name(match["file"]), int(match["channel"])) if match else (path, None)


def file_of(path: Path) -> Path:
    """The file on the disk that a path, which may name a channel of it, is in."""
    return split_channel(path)[0]
