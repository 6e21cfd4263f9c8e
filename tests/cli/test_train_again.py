"""`fedbrats train --resume`: stopped in every tenth of its way it ends with the same bits, and says how to go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from fedbrats.cli.main import main
from fedbrats.cli.progress import duration
from fedbrats.model.training.trainer import Trainer
from fedbrats.rows import read_rows

ROUNDS, STEPS = 10, 2  # of both sites together in a round
QUICK = ["--set=network=tiny", "--set=spacing_mm=8.0", "--set=local_steps=1", "--set=final_flips=false"]
WORDS = [*QUICK, "--rounds", str(ROUNDS), "--threads", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def stop_in_round(monkeypatch: pytest.MonkeyPatch, number: int, already: int) -> None:
    """Let Ctrl-C come at the second step of a round (from 0), where `already` rounds are done."""
    steps, step = [0], Trainer._step

    def stopping(self: Trainer, *words: object) -> float:
        steps[0] += 1
        if steps[0] == (number - already) * STEPS + 2:
            raise KeyboardInterrupt
        return step(self, *words)

    monkeypatch.setattr(Trainer, "_step", stopping)


def same_weights(one: Path, other: Path) -> bool:
    first, second = (torch.load(path, weights_only=True)["model"] for path in (one, other))
    return all(torch.equal(first[name], second[name]) for name in first)


def without_times(rows: list[dict]) -> list[dict]:
    fleeting = ("seconds", "job_id")
    return [{key: value for key, value in row.items() if key not in fleeting} for row in rows]


def test_stopped_in_every_tenth_of_its_way_it_ends_with_the_same_bits(
    phantom_sites: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, kept = ["train", str(phantom_sites), *WORDS, "--cache", str(cache)], tmp_path / "stopped"
    assert main([*data, "--out", str(tmp_path / "whole")]) == 0
    assert not (tmp_path / "whole" / "checkpoint.pt").exists()
    with pytest.MonkeyPatch.context() as patch:
        stop_in_round(patch, 0, 0)
        assert main([*data, "--out", str(kept)]) == 130
    assert "stopped before the end of a round; nothing was kept" in capsys.readouterr().err
    assert not kept.exists()
    command = [*data, "--out", str(kept)]
    for tenth in range(1, ROUNDS):
        with pytest.MonkeyPatch.context() as patch:
            stop_in_round(patch, tenth, tenth - 1)
            assert main(command) == 130
        said = capsys.readouterr().err
        assert f"stopped after round {tenth}; the best model so far" in said
        assert f"go on with: fedbrats train --resume {kept}" in said
        assert (kept / "best_model.pt").is_file()
        assert json.loads((kept / "summary.json").read_text())["status"] == "INTERRUPTED"
        command = ["train", "--resume", str(kept)]
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rounds"] == ROUNDS
    for name in ("model.pt", "best_model.pt"):
        assert same_weights(kept / name, tmp_path / "whole" / name)
    one, other = (without_times(read_rows(folder / "rows.jsonl")) for folder in (kept, tmp_path / "whole"))
    assert one == other
    assert main(command) == 1
    assert "holds no checkpoint.pt: its training is finished" in capsys.readouterr().err


def test_what_cannot_go_on_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in (
        ["--rounds", "3"],
        ["--device", "cpu"],
        ["--threads", "1"],
        ["--cache", "cache"],
        ["--like", "fedper"],
    ):
        assert main(["train", "--resume", str(tmp_path), *more]) == 2
        assert "--resume takes DATA and all settings from the run" in capsys.readouterr().err
    assert main(["train"]) == 2
    assert "name the sites to train on" in capsys.readouterr().err
    (tmp_path / "checkpoint.pt").write_bytes(b"half")
    assert main(["train", "--resume", str(tmp_path)]) == 1
    assert "checkpoint.pt cannot be read" in capsys.readouterr().err
    assert main(["train", "anything", "--out", str(tmp_path)]) == 1
    assert "holds a training that was stopped; go on with `fedbrats train --resume" in capsys.readouterr().err
    assert (tmp_path / "checkpoint.pt").read_bytes() == b"half"
    other = {"rounds_done": 1, "about": json.dumps({"arguments": {}}), "model": {}, "optimiser": {}}
    torch.save(other, tmp_path / "checkpoint.pt")
    assert main(["train", "--resume", str(tmp_path)]) == 1
    assert "is not one of `fedbrats train`, or of another version" in capsys.readouterr().err


def test_refused_arguments_leave_no_results_folder(phantom_sites: Path, tmp_path: Path) -> None:
    words = ["train", str(phantom_sites), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    assert main([*words, "--set", "learning_rate=-1"]) == 2
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("seconds", "said"), [(40, "40 s"), (720, "12 min"), (12600, "3.5 h")])
def test_times_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.fixture(scope="module")
def undisturbed(phantom_sites: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the training that nobody stops."""
    out = tmp_path_factory.mktemp("undisturbed") / "whole"
    assert main(["train", str(phantom_sites), *WORDS, "--cache", str(cache), "--out", str(out)]) == 0
    return out


@pytest.mark.long
@pytest.mark.parametrize("rounds_done", range(1, ROUNDS))
def test_a_process_that_is_killed_goes_on_to_the_same_bits(
    phantom_sites: Path, cache: Path, undisturbed: Path, tmp_path: Path, rounds_done: int
) -> None:
    data, out = ["train", str(phantom_sites), *WORDS, "--cache", str(cache)], tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-m", "fedbrats.cli.main", *data, "--out", str(out)])
    rows = out / "rows.jsonl"
    kept = out / "checkpoint.pt"  # written after the rows of its round
    while not (kept.exists() and rows.read_text().count('"kind": "round"') >= rounds_done):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert main(["train", "--resume", str(out)]) == 0
    assert same_weights(out / "model.pt", undisturbed / "model.pt")
