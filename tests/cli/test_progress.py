"""What a person is told while a command runs, and what a run that did not come to its end says of itself."""

import json

import pytest

from fedbrats.admin.run.following import Progress
from fedbrats.admin.run.unfinished import write_unfinished
from fedbrats.cli import progress
from fedbrats.cli.arguments import run_path
from fedbrats.cli.progress import RoundLines, line_of, never_silent, say
from fedbrats.report.numbers.results import read_results


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (Progress("j", 0, 0, 0, 3), "3 sites evaluate"),
        (Progress("j", 0, 5, 0, 3), "round 1/5 begins at 3 sites"),
        (
            Progress("j", 2, 5, 2, 3, seconds_left=240.0),
            "round 2/5 done, 2/3 sites; about 4 min of rounds left, then the last evaluation",
        ),
        (
            Progress("j", 2, 5, 2, 3, seconds_left=240.0, last_seconds=60.0),
            "round 2/5 done, 2/3 sites; about 5 min left, 60 s of it for the last evaluation",
        ),
        (
            Progress("j", 5, 5, 3, 3, seconds_left=0.0, last_seconds=60.0),
            "round 5/5 done, 3/3 sites; now the final model is evaluated, for about 60 s",
        ),
        (
            Progress("j", 5, 5, 3, 3, 0.5, 9, 0.0),
            "round 5/5 done, 3/3 sites; the shared model before it had Dice 0.500 on 9 validation cases; "
            "now the final model is evaluated",
        ),
    ],
)
def test_a_line_says_of_what_its_score_is(found, line):
    assert line_of(found) == line


def test_a_round_is_one_line(capsys):
    tell = RoundLines()
    for rounds_done, answered in ((0, 0), (0, 1), (1, 2), (1, 2), (2, 2)):
        tell(Progress("fedavg", rounds_done, 3, answered, 2))
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_a_command_at_work_is_never_silent(monkeypatch, capsys):
    monkeypatch.setattr(progress, "QUIET_S", 0.0)
    told = []
    with never_silent("poc"):
        while not told:
            told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("poc: still at work, for ")
    say("done")
    assert capsys.readouterr().err == "done\n"


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), "INTERRUPTED"), (OSError("disk"), "FAILED")])
def test_a_run_that_did_not_end_says_so(tmp_path, capsys, error, status):
    folder = tmp_path / "fedavg-20260101-120000"
    folder.mkdir()
    write_unfinished(folder, "fedavg", "some-id", {}, 3.0, error)
    assert list(folder.iterdir()) == []  # it left no row: there is nothing to tell
    (folder / "rows.jsonl").write_text('{"kind": "job"}\n{"kind": "round", "round": 0, "seconds": 1.0}\n')
    write_unfinished(folder, "fedavg", "some-id", {}, 3.0, error)
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["status"], summary["rounds"]) == (status, 1)
    [results] = read_results([folder])
    assert not results.is_running
    assert run_path(str(tmp_path / "latest")) == folder
    assert f"did not come to its end: {status}" in capsys.readouterr().err
