"""Wheels without what no server and no site reads: tests, headers and test programs of PyTorch, tests of others.

A wheel that loses files is written anew, with a RECORD that has no line of them: pip and `fedbrats doctor` compare what
is installed with the wheel that was made here, and not with the one of the package index.
"""

from __future__ import annotations

import copy
import re
import zipfile
from pathlib import Path

# Of torch/bin, torch_shm_manager serves tensors that processes share. The tests of numpy and nibabel stay: their other
# modules import some.
UNREAD = {
    "torch": re.compile(r"torch/(test|include)/|torch/bin/(?!torch_shm_manager$)"),
    **{name: re.compile(rf"{name}/(.+/)?tests/") for name in ("scipy", "sympy", "networkx")},
}
CHUNK = 2**20


def make_lean(wheel: Path) -> int:
    """Take what nobody reads out of a wheel, in its place; returns how many bytes less it installs."""
    name = wheel.name.split("-")[0]
    pattern = UNREAD.get(name)
    if pattern is None:
        return 0
    new = wheel.with_suffix(".lean")
    saved = 0
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as kept:
        for entry in old.infolist():
            if pattern.match(entry.filename):
                saved += entry.file_size
            elif re.fullmatch(r"[^/]+\.dist-info/RECORD", entry.filename):
                lines = old.read(entry).decode().splitlines()
                kept.writestr(
                    copy.copy(entry), "".join(f"{line}\n" for line in lines if not pattern.match(line.lstrip('"')))
                )
            else:
                with old.open(entry) as source, kept.open(copy.copy(entry), "w", force_zip64=True) as target:
                    while block := source.read(CHUNK):
                        target.write(block)
    if saved:
        new.replace(wheel)
    else:
        new.unlink()
    return saved
