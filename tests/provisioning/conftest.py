"""The consortium of provisioning/project.yml, provisioned once for the tests that only read it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fedbrats.shipped import shipped_dir

FEDBRATS = str(Path(sys.executable).parent / "fedbrats")


@pytest.fixture(scope="session")
def provisioned(tmp_path_factory) -> Path:
    """A folder with project.yml and what `fedbrats provision build` made of it. Read only: tests share it."""
    folder = tmp_path_factory.mktemp("consortium")
    shutil.copyfile(shipped_dir() / "provisioning" / "project.yml", folder / "project.yml")
    run_provision("build", cwd=folder)
    return folder


@pytest.fixture(scope="session")
def kits(provisioned: Path) -> Path:
    """The folder with one kit a participant. Read only."""
    return provisioned / "provisioned" / "brain_consortium" / "prod_00"


@pytest.fixture
def consortium(provisioned: Path, tmp_path: Path) -> Callable[..., dict]:
    """`fedbrats provision` in a copy of the consortium, which a test may change; returns the command's document."""
    folder = tmp_path / "consortium"
    shutil.copytree(provisioned, folder)

    def provision(*words: str) -> dict:
        return json.loads(run_provision(*words, "--json", cwd=folder))

    provision.folder = folder  # type: ignore[attr-defined]
    return provision


def run_provision(*words: str, cwd: Path) -> str:
    command = [FEDBRATS, "provision", *words, "--project", "project.yml"]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
