"""The results folder of a run: the names of what it holds, and which run a word of a person means.

Runs are kept as `results/METHOD-YYYYMMDD-HHMMSS`. A person names one by its folder, by a file in it, by `latest`, which
is the newest run of all, or by `METHOD` or `results/METHOD` where there is one run of that method.
"""

from __future__ import annotations

import glob
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path

from fedbrats.at_work import killed_job
from fedbrats.errors import ArgumentError, ConfigurationError

SUMMARY_FILE = "summary.json"
AUDIT_FILE = "audit.json"  # of `fedbrats audit`
FINAL_MODEL, BEST_MODEL = "global_model.pt", "best_model.pt"  # of a federated job
CENTRAL_MODEL = "model.pt"  # of `fedbrats train`
BUNDLE_MODEL = "models/model.pt"  # of a MONAI bundle, which stands for its model as a results folder does
MODEL_FILES = (FINAL_MODEL, BEST_MODEL, CENTRAL_MODEL)
FINAL_MODELS = (FINAL_MODEL, CENTRAL_MODEL, BUNDLE_MODEL)  # what a folder stands for, the first that is there
COMPLETED = "FINISHED:COMPLETED"  # FLARE's status of a job that came to its end
INTERRUPTED, FAILED = "INTERRUPTED", "FAILED"  # statuses of a run that did not come to its end
RESULTS, LATEST = Path("results"), "latest"
_CHOICES = 4  # that are named
_STAMP = re.compile(r"(.+)-(\d{8}-\d{6})")


def new_run(parent: Path, method: str) -> Path:
    """The path of a results folder for a run that begins now."""
    return parent / f"{method}-{time.strftime('%Y%m%d-%H%M%S')}"


def find_run(path: Path) -> Path:
    """The path itself where something is there, else the one run that it can mean, else the path again.

    A path that is not there may be `latest`, `METHOD`, `results/METHOD`, a file such as `results/METHOD/best_model.pt`,
    or a pattern that no shell has expanded, such as `results/METHOD-*`.

    Raises: ArgumentError with the choices, where it can mean several runs.
    """
    if path.exists():
        return path
    for place in (path, RESULTS / path):
        if place.name == LATEST:
            runs = sorted(_stamped(place.parent), key=lambda run: _split(run)[1])[-1:]
            if runs:
                return runs[0]
        inside = [run / place.name for run in _runs_of(place.parent)]
        if runs := _runs_of(place) or [file for file in inside if file.exists()]:
            return _the_one(path, runs)
    return path


def _the_one(path: Path, runs: Sequence[Path]) -> Path:
    if len(runs) == 1:
        return runs[0]
    newest = sorted(runs, key=lambda run: _split(run)[1], reverse=True)
    named = ", ".join(map(str, newest[:_CHOICES])) + (", ..." if len(runs) > _CHOICES else "")
    raise ArgumentError(
        f"{path} can be {len(runs)} runs, the newest first: {named}; name one, or `latest` for the newest"
    )


def why_unfinished(run: Path) -> str | None:
    """The status of a run that was interrupted or killed, or has failed; None of any other."""
    folder = run if run.is_dir() else run.parent
    try:
        document = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return INTERRUPTED if killed_job(folder) else None
    status = document.get("status") if isinstance(document, dict) else None
    return status if status in (INTERRUPTED, FAILED) else None


def find_personal(run: Path, word: str, workspace: Path) -> Path:
    """The personal weights that `--personal` means: a file, or a site of this run on a workstation.

    workspace: of POC, where its sites keep them by job.

    Raises: ConfigurationError that names the sites that have some.
    """
    if Path(word).is_file() or Path(word).suffix:
        return Path(word)
    found = personal_of_sites(run, workspace)
    if word in found:
        return found[word]
    there = f"there are those of {', '.join(found)}" if found else "this machine has none of its sites"
    raise ConfigurationError(
        f"no personal weights of {word} are known for {run}: {there}; or give the file itself, or no --personal where "
        f"the method shares the whole model"
    )


def personal_of_sites(run: Path, workspace: Path) -> dict[str, Path]:
    """Site -> its personal weights, of a simulated run or one in POC."""
    folder = run if run.is_dir() else run.parent
    homes = [folder / "sites"]
    try:
        job_id = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))["job_id"]
        homes.append(workspace / "personal" / job_id)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {path.parent.name: path for home in homes for path in sorted(home.glob("*/personal.npz"))}


def final_model(path: Path) -> Path | None:
    """The model that a path stands for: the file itself, or the final model of a folder; None where it has none."""
    candidates = [path / name for name in FINAL_MODELS] if path.is_dir() else [path]
    return next((file for file in candidates if file.is_file()), None)


def _stamped(folder: Path) -> list[Path]:
    """All runs in a folder of results."""
    return [each for each in folder.glob("*") if each.is_dir() and _STAMP.fullmatch(each.name)]


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
