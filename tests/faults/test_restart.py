"""A server of a POC that dies while somebody follows a job: said at once, and what the sentence advises works."""

import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fedbrats.admin.run.processes import find_processes
from tests.faults.catalogue import SURVIVED, fault
from tests.faults.federation import wait_for

pytestmark = [pytest.mark.end_to_end, pytest.mark.long, pytest.mark.timeout(900)]
FEDBRATS = str(Path(sys.executable).parent / "fedbrats")
SETTINGS = {"network": "tiny", "spacing_mm": 8.0, "num_rounds": 6, "local_steps": 60, "final_flips": "false"}
LONG_EVALUATION = {"spacing_mm": 2.0, "inference_window": "[16,16,16]", "validate_every": 6, "final_flips": "true"}


@fault(
    "server killed while somebody follows its job",
    injected="SIGKILL to the server and its job process, with `fedbrats poc submit` waiting",
    detected="`poc submit` ends at once with one sentence that names the two commands that follow",
    outcome=f"{SURVIVED}: `poc restart` and `poc submit --resume` bring the job to its end",
)
def test_a_server_that_died_is_started_again_and_its_job_goes_on(tmp_path, phantom_sites):
    words = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")]
    workspace = tmp_path / "build" / "poc"
    try:
        _fedbrats(tmp_path, "up", "--data", str(phantom_sites))
        following = subprocess.Popen(
            [FEDBRATS, "poc", "submit", "fedavg", *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        )
        wait_for(lambda: _rows(workspace).count('"kind": "round"') >= 2, "two finished rounds")
        for process in find_processes(workspace):
            if any(word.endswith("server") for word in process.cmdline()):
                process.kill()
        _, said = following.communicate(timeout=240)
        assert following.returncode == 1
        assert "Traceback" not in said
        job_id = re.search(r"`fedbrats poc submit --resume ([0-9a-f-]{36})`", said)[1]
        assert "started again: server" in _fedbrats(tmp_path, "restart")
        assert "every process is running" in _fedbrats(tmp_path, "restart")
        _fedbrats(tmp_path, "submit", "--resume", job_id)
    finally:
        _fedbrats(tmp_path, "down")
        assert find_processes(workspace) == []


def _rows(workspace):
    return "".join(path.read_text() for path in workspace.glob("*/*/server/*/fedbrats/rows.jsonl"))


def _fedbrats(folder, *words):
    done = subprocess.run([FEDBRATS, "poc", *words], cwd=folder, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_that_is_interrupted_prints_the_command_that_completes_it(tmp_path, phantom_sites):
    """Ctrl-C before it starts, while it does, after some rounds, later, and at the end: what is printed goes on."""
    settings = SETTINGS | LONG_EVALUATION
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    command = ["fedbrats", "poc", "run", "fedavg", "--data", str(phantom_sites), *words]
    told = []
    try:
        for moment in ("preparing", "starting the server", "round 2/6 done", "round 4/6 done", "now the final model"):
            told.append(_interrupted(tmp_path, command, moment))
            command = shlex.split(re.search(r"(?:go on|begin again) with: (.*)", told[-1])[1])
            if "&&" in command:
                where = command.index("&&")
                assert _fedbrats(tmp_path, *command[2:where])
                command = command[where + 1 :]
        assert ["begin again with" in text for text in told] == [True, True, False, False, False]
        done = _fedbrats(tmp_path, *command[2:], "--json")
        document = json.loads(done.splitlines()[-1])
        assert (document["status"], document["rounds"]) == ("FINISHED:COMPLETED", 6)
        found = [json.loads(path.read_text())["status"] for path in tmp_path.glob("results/*/summary.json")]
        assert sorted(found) == ["FINISHED:COMPLETED", *["INTERRUPTED"] * 3]
    finally:
        _fedbrats(tmp_path, "down")


def _interrupted(folder, command, moment):
    """What a command says that gets Ctrl-C as soon as it says `moment`."""
    run = subprocess.Popen(
        [FEDBRATS, *command[1:]],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    for line in run.stderr:
        if moment in line:
            break
    run.send_signal(signal.SIGINT)
    said = run.stderr.read()
    assert run.wait(timeout=240) == 130, said
    return said
