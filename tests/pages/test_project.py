"""What the project says of itself: one version, one pin of torch, files that a reader expects, made tables."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

import fedbrats
from tests.pages import folders, rows
from tests.pages.marks import between

HOUSE = Path(__file__).parents[2]


def test_the_table_of_folders_is_what_their_docstrings_say():
    assert between(folders.PAGE, "folders") == folders.table().strip(), "run `make pages` and commit what it changes"


@pytest.mark.parametrize("name", ["rows", "report"])
def test_the_tables_of_rows_are_what_the_package_says(name):
    current = between(rows.PAGE, name) == rows.tables()[name].strip()
    assert current, "run `make pages` and commit what it changes"


def test_every_file_that_the_architecture_names_is_there():
    named = re.findall(
        r"`([\w/]+/[\w./-]*\w\.(?:py|json|yml|md))`|`(\w+\.py)`", folders.PAGE.read_text(encoding="utf-8")
    )
    missing = [
        path
        for pair in named
        for path in pair
        if path and not path.startswith("local/") and not (HOUSE / path).exists() and not (folders.ROOT / path).exists()
    ]
    assert missing == []


def test_the_version_is_declared_once():
    assert 'dynamic = ["version"]' in (HOUSE / "pyproject.toml").read_text()
    cited = yaml.safe_load((HOUSE / "CITATION.cff").read_text())["version"]
    assert str(cited) == fedbrats.__version__
    assert f"## {fedbrats.__version__}\n" in (HOUSE / "CHANGELOG.md").read_text()


def test_the_pin_of_torch_is_declared_once():
    pins = re.findall(r"^torch==", (HOUSE / "constraints.txt").read_text(), re.MULTILINE)
    assert len(pins) == 1
    for name in ("Makefile", "pyproject.toml", "provisioning/Dockerfile"):
        assert "torch==" not in (HOUSE / name).read_text()


def test_a_wheel_has_the_version_and_says_that_it_is_typed(tmp_path):
    words = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path]
    done = subprocess.run(words, cwd=HOUSE, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    wheel = next(tmp_path.glob("*.whl"))
    assert wheel.name.startswith(f"fedbrats-{fedbrats.__version__}-")
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert {"fedbrats/py.typed", "fedbrats/shipped/constraints.txt"} <= inside
    assert {"fedbrats/shipped/starts/fast.safetensors", "fedbrats/shipped/starts/fast.md"} <= inside


def test_hooks_of_pre_commit_use_what_is_installed():
    hooks = [hook for repo in yaml.safe_load((HOUSE / ".pre-commit-config.yaml").read_text())["repos"] for hook in
             repo["hooks"]]  # fmt: skip
    assert {hook["language"] for hook in hooks} == {"system"}
    assert {hook["entry"].split()[0] for hook in hooks} == {".venv/bin/ruff", ".venv/bin/mypy"}


def test_make_prints_a_line_of_help_for_each_target():
    text = (HOUSE / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # make runs this
    printed = subprocess.run(["make"], cwd=HOUSE, env=environment, capture_output=True, text=True).stdout
    assert [line.split()[1] for line in printed.splitlines()] == phony
