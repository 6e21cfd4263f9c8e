"""The pages of numbers are what their commands make of the committed results, and every benchmark says what it does."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
PARTS = ("record", "page", "gpu_training", "nnunet_training")  # no benchmarks of their own
BENCHMARKS = sorted(path.name for path in (HOUSE / "benchmarks").glob("*.py") if path.stem not in PARTS)


@pytest.mark.parametrize(
    ("command", "page"),
    [
        ("benchmarks/page.py", "performance.md"),
        ("experiments/real_tables.py", "results.md"),
        ("experiments/attack_tables.py", "attacks.md"),
    ],
)
def test_a_page_is_what_its_command_makes(tmp_path, command, page):
    pages = HOUSE / "docs" / "results"
    for partly_made in ("overview.md", "attacks.md"):
        shutil.copy(pages / partly_made, tmp_path)
    subprocess.run([sys.executable, HOUSE / command, "--out", tmp_path / page], check=True, timeout=120)
    assert (tmp_path / page).read_text() == (pages / page).read_text()
    assert (tmp_path / "overview.md").read_text() == (pages / "overview.md").read_text()  # whose tables are made too


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_help_with_its_command(name):
    words = [sys.executable, HOUSE / "benchmarks" / name, "--help"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"python benchmarks/{name}" in done.stdout
