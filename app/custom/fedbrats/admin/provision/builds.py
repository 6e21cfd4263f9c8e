"""The builds of a consortium: what a new one changed and to whom it goes, which kits count, and which are replaced.

A build folder `prod_NN` has whole kits of those whose `startup` is new, and single files for those whose kit is the
same but for these files. So a private key lies in one folder until it is renewed.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedbrats.admin.provision.consortium import BUILD_PREFIX, PARTICIPANTS
from fedbrats.errors import ConfigurationError

NEW, RENEWED, FILES = "new kit", "new startup", "files"
SIGNATURE = "startup/signature.json"  # of the other files of its folder; every build's is another
WHOLE = Path("startup") / "rootCA.pem"  # what only a whole kit has
STARTED = ("log.txt", "audit.log", "pid.fl", "daemon_pid.fl", "venv")


@dataclass(frozen=True)
class Change:
    """What a build has for a participant.

    what: NEW, RENEWED (the receiver replaces `startup`, and keeps `local`) or FILES (to be copied over the kit's).
    files: paths in the kit, for FILES.
    """

    what: str
    folder: Path
    files: tuple[str, ...] = ()


def keep_changes(kits: Path) -> dict[str, Change]:
    """Reduce a build, just made, to what differs from the ones before it; returns it by participant.

    A build that changes nothing is removed.
    """
    found = {}
    for folder in sorted(path for path in kits.iterdir() if path.is_dir()):
        change = _compare(folder)
        if change is None:
            shutil.rmtree(folder)
            continue
        found[folder.name] = change
        if change.what == FILES:
            for path in [path for path in folder.rglob("*") if path.is_file()]:
                if path.relative_to(folder).as_posix() not in change.files:
                    path.unlink()
            for path in sorted(folder.rglob("*"), reverse=True):
                if path.is_dir() and not any(path.iterdir()):
                    path.rmdir()
    if not found:
        shutil.rmtree(kits)
    return found


def current_kits(project: Mapping[str, Any], out_dir: Path) -> dict[str, list[Path]]:
    """The folders of each participant's kit: the newest whole one, then those of files that replace some of its own.

    Raises: ConfigurationError where nothing was built yet.
    """
    names = [entry["name"] for entry in project[PARTICIPANTS]]
    found = {name: layers for name in names if (layers := _layers(_folders(out_dir / str(project["name"]), name)))}
    if not found:
        raise ConfigurationError(f"no kits were built in {out_dir} yet; `fedbrats provision build` builds them")
    return found


def newest_build(project: Mapping[str, Any], out_dir: Path) -> Path:
    """The folder that the last build wrote. Raises: IndexError where there is none."""
    return _builds(out_dir / str(project["name"]))[-1]


def files_of(layers: Sequence[Path]) -> dict[str, Path]:
    """The files of a kit, path in the kit -> file, from the folders of `current_kits`."""
    return {
        path.relative_to(folder).as_posix(): path
        for folder in layers
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@dataclass(frozen=True)
class OldKit:
    """A whole kit that a later build replaced.

    Attributes:
        started: it was run from its folder, perhaps still is.
        another_key: it has a private key that its participant's newest kit has not.
    """

    folder: Path
    started: bool
    another_key: bool


def old_kits(project: Mapping[str, Any], out_dir: Path) -> list[OldKit]:
    """Whole kits that a later one replaced, or whose participant is no longer in project.yml."""
    base = out_dir / str(project["name"])
    current = {name: layers[0] for name, layers in current_kits(project, out_dir).items()}
    whole = [path for path in base.glob(f"{BUILD_PREFIX}*/*") if (path / WHOLE).is_file()]
    return [
        OldKit(path, any((path / name).exists() for name in STARTED), _keys(path) != _keys(current.get(path.name)))
        for path in sorted(set(whole) - set(current.values()))
    ]


def _keys(kit: Path | None) -> set[bytes]:
    """The private keys of a kit."""
    return {path.read_bytes() for path in kit.glob("startup/*.key")} if kit else set()


def retire(kit: OldKit) -> None:
    """Remove an old kit but for its certificate, which `fedbrats provision revoke` needs."""
    for path in sorted(kit.folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.suffix != ".crt":
            path.unlink()


def _compare(folder: Path) -> Change | None:
    """What a whole kit, just built, has that the folders before it have not; None where it has nothing."""
    earlier = [path for path in _folders(folder.parents[1], folder.name) if path != folder]
    layers = _layers(earlier)
    if not layers:
        return Change(NEW, folder)
    old, new = files_of(layers), files_of([folder])
    differ = [inside for inside, path in new.items() if _differs(path, old.get(inside)) and inside != SIGNATURE]
    if any(inside.startswith("startup/") for inside in differ):
        return Change(RENEWED, folder)
    return Change(FILES, folder, tuple(differ)) if differ else None


def _differs(new: Path, old: Path | None) -> bool:
    return old is None or new.read_bytes() != old.read_bytes()


def _folders(base: Path, name: str) -> list[Path]:
    """What the builds have for a participant, oldest first."""
    return [path / name for path in _builds(base) if (path / name).is_dir()]


def _builds(base: Path) -> list[Path]:
    """The folders of builds, oldest first."""
    numbers = {path.name.removeprefix(BUILD_PREFIX): path for path in base.glob(f"{BUILD_PREFIX}*")}
    return [path for _, path in sorted((int(text), path) for text, path in numbers.items() if text.isdecimal())]


def _layers(folders: list[Path]) -> list[Path]:
    whole = [number for number, path in enumerate(folders) if (path / WHOLE).is_file()]
    return folders[whole[-1] :] if whole else []
