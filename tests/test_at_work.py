"""A run whose program is killed says so: to every reader of its folder, on its machine and on another."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedbrats import at_work
from fedbrats.cli.arguments import run_path
from fedbrats.report.numbers.results import read_results
from fedbrats.run_folder import why_unfinished

PROGRAM = """
import sys, time
from pathlib import Path
from fedbrats.at_work import at_work
folder = Path(sys.argv[1])
with at_work(folder, "fedavg"):
    (folder / "rows.jsonl").write_text('{"kind": "job"}\\n{"kind": "round", "round": 0, "seconds": 1.0}\\n')
    print("begun", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def begun(tmp_path):
    """The folder of a run, and the process that writes it."""
    folder = tmp_path / "fedavg-20260101-120000"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "begun\n"
    yield folder, process
    process.kill()
    process.communicate()


def test_a_run_that_is_killed_is_interrupted_for_every_reader(begun, tmp_path, capsys):
    folder, process = begun
    assert why_unfinished(folder) is None
    assert read_results([folder])[0].is_running
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert why_unfinished(folder) == "INTERRUPTED"
    [results] = read_results([folder])
    assert not results.is_running
    assert (results.method, results.summary["status"], results.summary["rounds"]) == ("fedavg", "INTERRUPTED", 1)
    assert run_path(str(tmp_path / "latest")) == folder
    assert "did not come to its end: INTERRUPTED" in capsys.readouterr().err


def test_a_run_that_ends_leaves_no_note(begun):
    folder, process = begun
    process.communicate()
    assert [path.name for path in folder.iterdir()] == ["rows.jsonl"]
    assert at_work.killed_job(folder) is None


@pytest.mark.parametrize(("age_s", "is_killed"), [(0, False), (10 * at_work.SILENT_S, True)])
def test_on_another_machine_the_age_of_the_note_tells(begun, age_s, is_killed):
    folder, _ = begun
    note = folder / at_work.NOTE
    note.write_text(json.dumps({**json.loads(note.read_text()), "machine": "another"}))
    os.utime(note, (time.time() - age_s,) * 2)
    assert (at_work.killed_job(folder) is not None) == is_killed


def test_a_note_is_renewed_and_an_empty_folder_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(at_work, "BEAT_S", 0.01)
    folder = tmp_path / "new"
    with at_work.at_work(folder, "train"):
        os.utime(folder / at_work.NOTE, (0, 0))
        while not (folder / at_work.NOTE).stat().st_mtime:
            time.sleep(0.01)
    assert not folder.exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"job": "a", "pid": "x", "started": 1, "machine": ""}'])
def test_a_note_that_is_none_says_nothing(tmp_path: Path, text):
    (tmp_path / at_work.NOTE).write_text(text)
    assert at_work.killed_job(tmp_path) is None
