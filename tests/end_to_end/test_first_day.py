"""A medical physicist's first day: docs/guide/own-data.md, command after command, with phantoms under other names."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fedbrats.data.cases.case import find_cases
from tests.pages.reading import commands_under

pytestmark = [pytest.mark.end_to_end, pytest.mark.long, pytest.mark.timeout(1800)]

PAGE = "docs/guide/own-data.md"
PARTS = ("## Check and split", "## Train", "## Look at the result")
KNOWN = {"DATA": "patients", "CASE_FOLDER": "patients/patient_001", "report.html": "page.html"}
LESS = {  # so that it takes minutes: nothing that a reader would have to know
    "split": ("--sites", "2"),
    "poc": ("--set", "num_rounds=2", "--set", "network=tiny", "--set", "local_steps=2"),
    "train": ("--rounds", "2", "--set", "network=tiny", "--set", "local_steps=2"),
}


def test_the_page_is_followed_from_check_to_a_bundle(phantom_sites: Path, tmp_path: Path) -> None:
    for number, case in enumerate(find_cases(phantom_sites), start=1):
        folder = tmp_path / "patients" / f"patient_{number:03d}"
        folder.mkdir(parents=True)
        names = {"t1ce": "T1ce", "flair": "FLAIR"}
        for role, path in case.files.items():
            shutil.copyfile(path, folder / f"{names.get(role, role)}.nii.gz")
    said = {}
    for command in (each for part in PARTS for each in commands_under(PAGE, part)):
        words = [KNOWN.get(word, word) for word in command]
        if "results/*" in words:
            place = words.index("results/*")
            words[place : place + 1] = [f"results/{path.name}" for path in sorted((tmp_path / "results").iterdir())]
        words += LESS.get(words[0], ())
        run = [sys.executable, "-m", "fedbrats.cli.main", *words]
        done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, f"fedbrats {' '.join(words)}: {done.stderr[-2000:]}"
        said[words[0]] = done.stdout
    assert {"check", "split", "poc", "train", "report", "predict", "evaluate", "export"} <= said.keys()
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for question in ("Did federating help?", "Which model should my hospital use?", "How sure is that?"):
        assert question in page
    assert "This page cannot say it" not in page
    assert (tmp_path / "masks" / "patient_001_prediction.nii.gz").is_file()
    assert (tmp_path / "bundle").is_dir()
