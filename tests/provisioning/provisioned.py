"""The consortium of provisioning/project.yml, provisioned once for all tests that only read it."""

from __future__ import annotations

import shutil
import subprocess
import sys
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


def run_provision(*words: str, cwd: Path) -> str:
    command = [FEDBRATS, "provision", *words, "--project", "project.yml"]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
