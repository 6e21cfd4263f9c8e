"""The runbook's own commands, to be run as they stand there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from fedbrats.admin.run.processes import participant_environment
from fedbrats.shipped import shipped_dir

TEXT = (shipped_dir() / "provisioning" / "RUNBOOK.md").read_text()


def block(page: str, number: int = 0) -> list[str]:
    """The lines of an sh block of a page, the first one where nothing is said, comments left out."""
    text = re.search(rf"^## {page}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text[1] if text else "", re.MULTILINE | re.DOTALL)
    assert len(blocks) > number, f"the page {page} has {len(blocks)} blocks of commands"
    return [line.split("  #")[0].strip() for line in blocks[number].splitlines()]


def inline(beginning: str) -> str:
    """The one command in the text that begins like this."""
    found = {word for word in re.findall(r"`([^`\n]+)`", TEXT) if word.startswith(beginning)}
    assert len(found) == 1, f"{beginning}: {sorted(found)}"
    return found.pop()


def run(
    line: str, cwd: Path, said: str = "", environment: Mapping[str, str] | None = None, inside: Sequence[str] = ()
) -> str:
    """Run one line in a shell, as a person would, and return what it printed.

    said: what the person answers. inside: the words that lead into a namespace.
    """
    with (cwd / "console.txt").open("ab") as log:  # what start.sh leaves behind goes on writing there
        done = subprocess.run(
            [*inside, "bash", "-c", line],
            cwd=cwd, env={**participant_environment(), **(environment or {})}, timeout=600,
            input=said, text=True, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    printed = (cwd / "console.txt").read_text(errors="replace")
    assert done.returncode == 0, f"{line}: {printed[-2000:]}"
    return printed


def wheel_of(repository: Path, out_dir: Path) -> Path:
    """The package, built as the project admin does, with the build tools that are installed here."""
    command = inline("python3 -m pip wheel").replace("dist", str(out_dir))
    environment = {**participant_environment(), "PIP_NO_BUILD_ISOLATION": "0"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=repository, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out_dir.glob("fedbrats-*.whl"))


def borrow_packages(venv: Path) -> None:
    """Let a virtual environment find what this one has installed, fedbrats alone left out.

    Installing torch anew would take minutes; pip still holds every package against the constraints.
    """
    borrowed = venv / "borrowed"
    borrowed.mkdir()
    for folder in (Path(entry) for entry in sys.path if entry.endswith("site-packages")):
        for path in folder.iterdir():
            if not re.match(r"_?(_editable_impl_)?fedbrats|pip|.*\.pth|__", path.name):
                link = borrowed / path.name
                if not link.exists():
                    link.symlink_to(path)
    packages = next(venv.glob("lib/python*/site-packages"))
    for path in packages.glob("setuptools*"):  # as old as Python itself; torch needs a newer one
        shutil.rmtree(path)
    (packages / "borrowed.pth").write_text(f"{borrowed}\n")
