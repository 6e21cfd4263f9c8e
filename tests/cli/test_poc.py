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
