"""A consortium that a test may change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.provisioning.provisioned import run_provision


@pytest.fixture
def consortium(provisioned: Path, tmp_path: Path) -> Callable[..., dict]:
    """`fedbrats provision` in a copy of the consortium, which a test may change; returns the command's document."""
    folder = tmp_path / "consortium"
    shutil.copytree(provisioned, folder)

    def provision(*words: str) -> dict:
        return json.loads(run_provision(*words, "--json", cwd=folder))

    provision.folder = folder  # type: ignore[attr-defined]
    return provision
