"""`fedbrats submit` refuses what cannot be before it logs in anywhere."""

from __future__ import annotations

import pytest

from fedbrats.cli.main import main


@pytest.fixture(autouse=True)
def no_session(monkeypatch):
    def opened(*_):
        raise AssertionError("a session was opened")

    monkeypatch.setattr("fedbrats.admin.run.sessions.person_session", opened)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fedavgg"], "there is no job named 'fedavgg'"),
        (["fedavg", "--set", "rounds=3"], "no variable 'rounds'"),
        (["fedavg", "--set", "memory_mb=-1"], "memory_mb is -1"),
        (["fedavg", "--set", "personal=headd"], "headd"),
        (["fine_tuned", "--set", "num_rounds=3"], "no round would be federated"),
        (["evaluate"], "name them with --models"),
    ],
)
def test_what_cannot_be_is_refused_before_a_session_is_opened(tmp_path, capsys, words, sentence):
    assert main(["submit", *words, "--kit", str(tmp_path)]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("words", [["submit", "--kit", "kit"], ["poc", "submit"]])
def test_models_for_a_resumed_job_are_refused_before_anybody_logs_in(words, capsys):
    assert main([*words, "--resume", "0a1b2c3d-4e5f-6789-abcd-ef0123456789", "--models", "results"]) == 2
    assert "one that is resumed keeps its own" in capsys.readouterr().err
