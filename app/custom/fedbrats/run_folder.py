"""The results folder of a run: the names of what it holds, and which run is meant where several could be.

Runs are kept as `results/METHOD-YYYYMMDD-HHMMSS`. A person names one by its folder, by a file in it, or by
`results/METHOD`, which is the newest run of that method.
"""

from __future__ import annotations

import glob
import re
import time
from collections.abc import Sequence
from pathlib import Path

from fedbrats.errors import ConfigurationError

SUMMARY_FILE = "summary.json"
FINAL_MODEL, BEST_MODEL = "global_model.pt", "best_model.pt"  # of a federated job
CENTRAL_MODEL = "model.pt"  # of `fedbrats train`
BUNDLE_MODEL = "models/model.pt"  # of a MONAI bundle, which stands for its model as a results folder does
MODEL_FILES = (FINAL_MODEL, BEST_MODEL, CENTRAL_MODEL)
FINAL_MODELS = (FINAL_MODEL, CENTRAL_MODEL, BUNDLE_MODEL)  # what a folder stands for, the first that is there
_STAMP = re.compile(r"(.+)-(\d{8}-\d{6})")


def new_run(parent: Path, method: str) -> Path:
    """The path of a results folder for a run that begins now."""
    return parent / f"{method}-{time.strftime('%Y%m%d-%H%M%S')}"


def find_run(path: Path) -> Path:
    """The path itself where something is there, else the newest run that it can mean, else the path again.

    A path that is not there may be `results/METHOD`, a file such as `results/METHOD/best_model.pt`, or a pattern that
    no shell has expanded, such as `results/METHOD-*`.
    """
    if path.exists():
        return path
    inside = [run / path.name for run in _runs_of(path.parent)]
    runs = _runs_of(path) or [file for file in inside if file.exists()]
    return max(runs, key=lambda run: _split(run)[1], default=path)


def final_model(path: Path) -> Path | None:
    """The model that a path stands for: the file itself, or the final model of a folder; None where it has none."""
    candidates = [path / name for name in FINAL_MODELS] if path.is_dir() else [path]
    return next((file for file in candidates if file.is_file()), None)


def newest_run(paths: Sequence[Path]) -> Path:
    """The newest of the runs of one method, as a shell makes of `results/METHOD-*`; of one path, that path.

    Raises:
        ConfigurationError: The paths are of several methods, or do not say when their runs began.
    """
    if len(paths) == 1:
        return paths[0]
    methods = {_split(path)[0] for path in paths}
    if len(methods) > 1 or None in methods:
        raise ConfigurationError(f"one run is needed, and {len(paths)} are given: {', '.join(map(str, paths))}")
    return max(paths, key=lambda run: _split(run)[1])


def _runs_of(path: Path) -> list[Path]:
    """The results folders of runs that `path` is a pattern of, or without their time."""
    if glob.has_magic(path.name):
        found = [each for each in path.parent.glob(path.name) if _split(each)[0]]
        return found if len({_split(each)[0] for each in found}) == 1 else []
    return [each for each in path.parent.glob(f"{path.name}-*") if each.is_dir() and _split(each)[0] == f"{path.name}/"]


def _split(path: Path) -> tuple[str | None, str]:
    """(the method and the file of a path in a results folder, when its run began); (None, "") of another path."""
    for folder, file in ((path, ""), (path.parent, path.name)):
        if found := _STAMP.fullmatch(folder.name):
            return f"{found[1]}/{file}", found[2]
    return None, ""
