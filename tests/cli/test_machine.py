"""Conditions of a hospital's machine: commands run in them, or say one sentence before anything starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from fedbrats.data.cases.case import find_cases
from tests.data.broken import copy_case

# In one process, for an import takes a second: check, split, build a job, and a simulation up to where FLARE begins.
COMMANDS = """
import sys
from pathlib import Path
from fedbrats.admin.run import simulator
from fedbrats.cli.main import main

def begin(*args):
    print("BEGINS")
    raise SystemExit(0)

simulator._run = begin
source, out = map(Path, sys.argv[1:])
assert main(["check", str(source), "--convention", "brats-2018"]) == 0
split = ["split", str(source), "--sites", "1", "--out", str(out / "sites"), "--convention", "brats-2018"]
assert main(split) == 0
assert main(["job", "build", "fedavg", "--out", str(out / "jobs")]) == 0
words = ["--data", str(out / "sites"), "--results", str(out / "results"), "--cache", str(out / "cache")]
sys.exit(main(["simulate", "fedavg", *words, "--set", "num_rounds=1", "--set", "local_steps=1"]))
"""
ASCII_ONLY = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # else Python itself makes UTF-8 of the locale C


@pytest.fixture(scope="module")
def source(phantom_sites: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cases, in a folder whose name is not English."""
    folder = tmp_path_factory.mktemp("source") / "Fälle-北京"
    for number, case in enumerate(find_cases(phantom_sites / "site-1")[:2]):
        copy_case(case, folder, f"P{number}{number}")
    return folder


def run_commands(source: Path, out: Path, environment: Mapping[str, str], before: str = "") -> str:
    """What the commands say in this environment, each of which must end well; `before`: a shell's words before them."""
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    words = ["sh", "-c", f'{before} exec "$@"', "sh", sys.executable, "-c", COMMANDS, str(source), str(out)]
    done = subprocess.run(words, env=quiet, capture_output=True, timeout=120, cwd=out)
    said = (done.stdout + done.stderr).decode(errors="replace")
    assert done.returncode == 0, said
    assert "BEGINS" in said
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"LC_ALL": "C", **ASCII_ONLY}], ids=str)
def test_any_locale(source: Path, tmp_path: Path, locale: dict[str, str]) -> None:
    run_commands(source, tmp_path, locale)
    assert json.loads((tmp_path / "sites" / "split.json").read_text(encoding="utf-8"))["sites"]["site-1"]["cases"] == 2


def test_a_name_that_the_locale_cannot_print_is_written_as_its_code(phantom_sites: Path, tmp_path: Path) -> None:
    for name, case in zip(("北京_7", "北京_07"), find_cases(phantom_sites / "site-1"), strict=False):
        copy_case(case, tmp_path, name)
    words = [sys.executable, "-m", "fedbrats.cli.main", "check", str(tmp_path), "--convention", "brats-2018"]
    done = subprocess.run(words, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True)
    assert done.returncode == 0
    assert r"patients \u5317\u4eac_07 and \u5317\u4eac_7 differ only in spelling" in " ".join(done.stdout.split())
    assert "Traceback" not in done.stderr


def test_a_home_that_cannot_be_written_and_a_strict_umask(source: Path, tmp_path: Path) -> None:
    run_commands(source, tmp_path, {"HOME": "/proc/1/nowhere", "LC_ALL": "xx_XX.UTF-8"}, before="umask 077;")
    for path in (tmp_path / "sites").rglob("*"):
        if not path.is_symlink():
            assert path.stat().st_mode & 0o077 == 0, path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder of 1 MB on which nothing may be executed, as a hospital's /tmp may be."""
    place = tmp_path / "tmp"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,noexec,nosuid", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this account may not mount")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_small_tmp_that_runs_nothing(source: Path, tmp_path: Path, small_disk: Path) -> None:
    run_commands(source, tmp_path, {"TMPDIR": str(small_disk)})
    assert list(small_disk.iterdir()) == []


def test_a_full_disk_is_one_sentence_and_leaves_nothing(source: Path, small_disk: Path) -> None:
    fill(small_disk / "full")
    words = [sys.executable, "-m", "fedbrats.cli.main", "split", str(source), "--sites", "1", "--copy"]
    words += ["--convention", "brats-2018", "--out", str(small_disk / "sites")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("fedbrats: No space left on device")
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in small_disk.iterdir()] == ["full"]


def fill(path: Path) -> None:
    """Write a file until its disk is full."""
    with path.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(1 << 12))
