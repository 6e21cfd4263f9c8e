"""Kits of the consortium of provisioning/project.yml, and copies that a test may change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fedbrats.admin.operate.places import move_server
from tests.end_to_end.consortium import NORTH, SERVER


@pytest.fixture
def server_kit(kits: Path, tmp_path: Path) -> Path:
    """The server's kit, its storage beside it."""
    kit = shutil.copytree(kits / SERVER, tmp_path / SERVER)
    move_server(kit / "local", tmp_path / "storage", with_state=True)
    return kit


@pytest.fixture
def site_kit(kits: Path, tmp_path: Path) -> Path:
    """A hospital's kit, its folders beside it."""
    kit = shutil.copytree(kits / NORTH, tmp_path / NORTH)
    path = kit / "local" / "fedbrats.json"
    folders = {f"{name}_dir": str(tmp_path / name) for name in ("data", "cache", "personal")}
    path.write_text(json.dumps({**json.loads(path.read_text()), **folders}))
    return kit
