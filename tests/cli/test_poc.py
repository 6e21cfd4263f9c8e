"""`fedbrats poc` says what is the matter before it starts, builds or asks anything."""

from __future__ import annotations

import json

import pytest

from fedbrats.cli.main import main


@pytest.fixture
def workspace(tmp_path):
    """A POC that is down, as far as the command looks."""
    folder = tmp_path / "build" / "poc"
    folder.mkdir(parents=True)
    state = {"kits": str(folder / "kits"), "sites": ["site-1"], "processes": []}
    (folder / "processes.json").write_text(json.dumps(state))
    return folder


@pytest.mark.parametrize("words", [["status"], ["submit", "fedavg"], ["submit", "--resume", "some-job"]])
def test_a_poc_that_is_down_is_said_to_be(workspace, capsys, words):
    assert main(["poc", *words, "--workspace", str(workspace)]) == 1
    said = capsys.readouterr().err
    assert f"the POC in {workspace} is not running; start it again with `fedbrats poc restart`" in said


def test_jobs_wait_where_no_other_command_builds(tmp_path, monkeypatch, capsys):
    """`fedbrats job build` and another POC beside this one write into the folder that the workspace lies in."""
    beside = tmp_path / "build" / "jobs" / "fedavg"
    beside.mkdir(parents=True)
    (beside / "meta.json").write_text("somebody else's")
    seen = []

    def run_jobs(args, poc, jobs, findings):
        seen.extend((job, json.loads((job / "meta.json").read_text())["name"]) for job in jobs)
        return []

    monkeypatch.setattr("fedbrats.cli.studies.poc._prepare_and_start", lambda *_: (None, ()))
    monkeypatch.setattr("fedbrats.cli.studies.poc._run_jobs", run_jobs)
    for words in ("fedavg", "median"), ("fedavg",):
        assert main(["poc", "run", *words, "--data", "sites", "--workspace", str(tmp_path / "build" / "poc")]) == 0
    assert [name for _, name in seen] == ["fedavg", "median", "fedavg"]
    assert len({job.parent for job, _ in seen}) == 2
    assert (beside / "meta.json").read_text() == "somebody else's"
    assert [job for job, _ in seen if job.exists() or tmp_path in job.parents] == []
